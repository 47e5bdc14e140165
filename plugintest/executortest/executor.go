// SPDX-License-Identifier: Apache-2.0

package executortest

import (
	"io"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Executor is the interface that the kit tests. It has the methods of the manager's
// interface of the same name, which documents the contract.
type Executor interface {
	Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	IsRunning(id string) (bool, error)
	Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error)
	Signal(id string, signal syscall.Signal) error
}

// exitReporter, pidReporter and runLister are optional interfaces of an executor.
type exitReporter interface {
	LastExit(id string) (code int, oomKilled bool, ok bool)
}

type pidReporter interface {
	Pid(id string) (pid int, ok bool)
}

type runLister interface {
	Runs() (ids []string, err error)
}

// Subject is an implementation of [Executor] under test. New is required.
type Subject struct {
	// New starts an executor with the directory state, like a starting daemon. A
	// second call with the same directory is a restart of the daemon. The
	// executor calls exits with the ID of every ended run. Detach ends the
	// executor like the end of the daemon: runs continue, but no output is
	// written and no end is reported any more. When detach returns, the executor
	// has no goroutines and file descriptors except those that wait for living
	// runs.
	New func(t *testing.T, state string, exits func(id string)) (executor Executor, detach func())
	// InProcess is for an executor that starts no processes. It runs the program
	// of the spec, package probe, as a function with paths below the spec's
	// Root.Path.
	InProcess bool
	// Patience is how long the kit waits for events that should happen
	// immediately. Zero means 20 s, enough for a loaded machine.
	Patience time.Duration
}
