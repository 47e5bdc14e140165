// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
	"github.com/dovetailhq/plugin/plugintest/internal/probe"
)

func TestConformance(t *testing.T) {
	executortest.Run(t, subject(faults[os.Getenv(faultVariable)]))
}

// subject runs the kit's program in this process. The executor value outlives a
// restart of the daemon. A fault makes the executor break the contract.
func subject(f fault) executortest.Subject {
	hosts := make(map[string]*plugintest.Executor)
	s := executortest.Subject{
		InProcess: true,
		New: func(t *testing.T, state string, exits func(id string)) (executortest.Executor, func()) {
			e := hosts[state]
			if e == nil {
				e = &plugintest.Executor{Choose: runtimeLike}
				hosts[state] = e
			}
			e.HandleExits(exits)
			detach := func() { e.Close() }
			if f.breakIt == nil {
				return e, detach
			}
			return f.breakIt(e, exits), detach
		},
	}
	if f.breakIt != nil {
		s.Patience = 200 * time.Millisecond
	}
	return s
}

// runtimeLike returns the behaviour of a container runtime for a spec.
func runtimeLike(_ string, _ int, spec specs.Spec) plugintest.Behaviour {
	if _, err := os.Stat(spec.Root.Path); err != nil {
		return plugintest.Behaviour{CreateError: fmt.Errorf("find rootfs: %w", err)}
	}
	entrypoint := spec.Process.Args[0]
	if _, err := os.Stat(filepath.Join(spec.Root.Path, entrypoint)); err != nil {
		return plugintest.Behaviour{CreateError: fmt.Errorf("find entrypoint %s: %w", entrypoint, err)}
	}
	return plugintest.Behaviour{Program: runProbe}
}

func runProbe(r *plugintest.Run) int {
	end := make(chan struct{})
	var children []chan struct{}
	process := probe.Process{
		Root: r.Spec.Root.Path, Stdout: r.Stdout, Stderr: r.Stderr,
		Signals: r.Signals(), Killed: r.Killed(),
	}
	process.Child = func(steps []string) (wait func(), err error) {
		child := process
		child.Signals, child.Killed = nil, end
		ended := make(chan struct{})
		children = append(children, ended)
		go func() {
			defer close(ended)
			probe.Run(child, steps)
		}()
		return func() { <-ended }, nil
	}
	code := probe.Run(process, r.Spec.Process.Args[1:])
	// The end of a container's main process ends all its processes.
	close(end)
	for _, ended := range children {
		<-ended
	}
	return code
}
