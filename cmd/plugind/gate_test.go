// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin"
)

// gateVariable turns this test's program into a plugind that stops at a gate.
const gateVariable = "PLUGIND_TEST_GATE"

func TestMain(m *testing.M) {
	described := os.Getenv(gateVariable)
	if described == "" {
		os.Exit(m.Run())
	}
	var g gate
	err := json.Unmarshal([]byte(described), &g)
	if err == nil {
		err = run(untilSignal(), g.options())
	}
	os.Exit(exitCode(os.Stderr, err))
}

// gate configures a plugind that stops for ever at a call of its executor. It
// stops nowhere if At is empty.
type gate struct {
	Directory   string
	Containerd  string
	LiveRestore bool
	At          string
	Exec        string // name of the exec root; "exec" if empty
}

// The gates of an executor: before and after each call, and while the runtime
// makes a container.
const (
	atCreate    = "create"
	whileCreate = "creating"
	afterCreate = "created"
	atSignal    = "signal"
	afterSignal = "signalled"
	atRestore   = "restore"
	afterRest   = "restored"
	atClose     = "close"
)

func (g gate) options() options {
	o := options{
		root:        g.Directory + "/root",
		execRoot:    g.execRoot(),
		host:        "unix://" + g.socket(),
		runtime:     "runc",
		containerd:  g.Containerd,
		liveRestore: g.LiveRestore,
		logLevel:    "debug",
	}
	ungated := o
	o.executor = func(manager *plugin.Manager) (plugin.Executor, error) {
		r, err := newRunner(context.Background(), ungated)
		if err != nil {
			return nil, err
		}
		executor, err := r.newExecutor(manager)
		if err != nil {
			return nil, err
		}
		return &gated{realExecutor: executor.(realExecutor), gate: g}, nil
	}
	return o
}

func (g gate) execRoot() string { return filepath.Join(g.Directory, cmp.Or(g.Exec, "exec")) }

func (g gate) socket() string { return g.Directory + "/s" }

// reached is a fifo to which a gate, or a plugin, writes when it is reached.
func (g gate) reached() string { return g.Directory + "/gates/reached" }

// leave is a fifo from which a runtime, or a plugin, reads before it continues.
func (g gate) leave() string { return g.Directory + "/gates/leave" }

// pass stops for ever at the chosen gate, and returns at any other.
func (g gate) pass(at string) {
	if g.At != at {
		return
	}
	if err := os.WriteFile(g.reached(), []byte("\n"), 0); err != nil {
		panic(err)
	}
	select {}
}

// realExecutor has the methods of both executors.
type realExecutor interface {
	plugin.Executor
	plugin.ExitReporter
	plugin.PidReporter
	plugin.RunLister
	io.Closer
}

// gated is a real executor with gates.
type gated struct {
	realExecutor
	gate gate
}

func (g *gated) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	g.gate.pass(atCreate)
	if g.gate.At == whileCreate {
		script := fmt.Sprintf("echo >%s && read line <%s", g.gate.reached(), g.gate.leave())
		spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}}}}
	}
	err := g.realExecutor.Create(id, spec, stdout, stderr)
	g.gate.pass(afterCreate)
	return err
}

func (g *gated) Signal(id string, signal syscall.Signal) error {
	g.gate.pass(atSignal)
	err := g.realExecutor.Signal(id, signal)
	g.gate.pass(afterSignal)
	return err
}

func (g *gated) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	g.gate.pass(atRestore)
	alive, err := g.realExecutor.Restore(id, stdout, stderr)
	g.gate.pass(afterRest)
	return alive, err
}

func (g *gated) Close() error {
	g.gate.pass(atClose)
	return g.realExecutor.Close()
}
