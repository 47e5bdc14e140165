// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

const faultVariable = "PLUGINTEST_FAULT"

// fault breaks the executor's contract in one way. The named test of the kit must
// notice.
type fault struct {
	noticedBy string
	breakIt   func(e *plugintest.Executor, exits func(id string)) executortest.Executor
}

// broken is an executor with some methods replaced.
type broken struct {
	*plugintest.Executor
	create    func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	isRunning func(id string) (bool, error)
	restore   func(id string, stdout, stderr io.WriteCloser) (bool, error)
	signal    func(id string, signal syscall.Signal) error
	lastExit  func(id string) (int, bool, bool)
	pid       func(id string) (int, bool)
	runs      func() ([]string, error)
}

func (b broken) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	if b.create != nil {
		return b.create(id, spec, stdout, stderr)
	}
	return b.Executor.Create(id, spec, stdout, stderr)
}

func (b broken) IsRunning(id string) (bool, error) {
	if b.isRunning != nil {
		return b.isRunning(id)
	}
	return b.Executor.IsRunning(id)
}

func (b broken) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	if b.restore != nil {
		return b.restore(id, stdout, stderr)
	}
	return b.Executor.Restore(id, stdout, stderr)
}

func (b broken) Signal(id string, signal syscall.Signal) error {
	if b.signal != nil {
		return b.signal(id, signal)
	}
	return b.Executor.Signal(id, signal)
}

func (b broken) LastExit(id string) (code int, oomKilled bool, ok bool) {
	if b.lastExit != nil {
		return b.lastExit(id)
	}
	return b.Executor.LastExit(id)
}

func (b broken) Pid(id string) (pid int, ok bool) {
	if b.pid != nil {
		return b.pid(id)
	}
	return b.Executor.Pid(id)
}

func (b broken) Runs() ([]string, error) {
	if b.runs != nil {
		return b.runs()
	}
	return b.Executor.Runs()
}

// changed is a stream with changed methods.
type changed struct {
	io.WriteCloser
	write func(p []byte) (int, error)
	close func() error
}

func (c changed) Write(p []byte) (int, error) {
	if c.write != nil {
		return c.write(p)
	}
	return c.WriteCloser.Write(p)
}

func (c changed) Close() error {
	if c.close != nil {
		return c.close()
	}
	return c.WriteCloser.Close()
}

func withStreams(change func(stream io.WriteCloser) io.WriteCloser) func(*plugintest.Executor, func(string)) executortest.Executor {
	return func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
			return e.Create(id, spec, change(stdout), change(stderr))
		}}
	}
}

var faults = map[string]fault{
	"output is lost": {"output_is_complete_at_the_end", withStreams(func(stream io.WriteCloser) io.WriteCloser {
		return changed{WriteCloser: stream, write: func(p []byte) (int, error) { return len(p), nil }}
	})},
	"output is held back": {"output_flows_while_the_run_lives", withStreams(func(stream io.WriteCloser) io.WriteCloser {
		var held []byte
		return changed{
			WriteCloser: stream,
			write:       func(p []byte) (int, error) { held = append(held, p...); return len(p), nil },
			close:       func() error { _, _ = stream.Write(held); return stream.Close() },
		}
	})},
	"streams stay open": {"a_run_ends_by_itself", withStreams(func(stream io.WriteCloser) io.WriteCloser {
		return changed{WriteCloser: stream, close: func() error { return nil }}
	})},
	"streams are closed twice": {"a_run_ends_by_itself", withStreams(func(stream io.WriteCloser) io.WriteCloser {
		return changed{WriteCloser: stream, close: func() error { stream.Close(); return stream.Close() }}
	})},
	"exits are not reported": {"a_run_that_ignores_SIGTERM_ends_by_SIGKILL", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		e.HandleExits(nil)
		return e
	}},
	"an exit is made up": {"a_run_ends_by_itself", func(e *plugintest.Executor, exits func(string)) executortest.Executor {
		return broken{Executor: e, create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
			defer exits(id)
			return e.Create(id, spec, stdout, stderr)
		}}
	}},
	"everything runs": {"IsRunning_knows_no_unknown_ID", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, isRunning: func(string) (bool, error) { return true, nil }}
	}},
	"unknown IDs are errors": {"IsRunning_knows_no_unknown_ID", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, isRunning: func(id string) (bool, error) {
			if e.Started(id) == 0 {
				return false, errors.New("no such plugin")
			}
			return e.IsRunning(id)
		}}
	}},
	"signals to dead runs succeed": {"a_run_ends_by_itself", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, signal: func(id string, signal syscall.Signal) error { _ = e.Signal(id, signal); return nil }}
	}},
	"every end is a success": {"a_run_ends_with_a_code", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, lastExit: func(string) (int, bool, bool) { return 0, false, true }}
	}},
	"pids outlive their runs": {"Create_starts", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, pid: func(string) (int, bool) { return os.Getpid(), true }}
	}},
	"errors name no cause": {"Create_of_a_missing_entrypoint", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
			if err := e.Create(id, spec, stdout, stderr); err != nil {
				return errors.New("failed")
			}
			return nil
		}}
	}},
	"a failed Create is reported as an exit": {"Create_of_a_missing_rootfs", func(e *plugintest.Executor, exits func(string)) executortest.Executor {
		return broken{Executor: e, create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
			err := e.Create(id, spec, stdout, stderr)
			if err != nil {
				exits(id)
			}
			return err
		}}
	}},
	"leftovers make Create fail": {"Create_replaces_what_a_crashed_daemon_left", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
			if alive, _ := e.IsRunning(id); alive {
				return errors.New("already exists")
			}
			return e.Create(id, spec, stdout, stderr)
		}}
	}},
	"Restore takes nothing over": {"Restore_of_a_living_run", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, restore: func(_ string, stdout, stderr io.WriteCloser) (bool, error) {
			stdout.Close()
			stderr.Close()
			return false, nil
		}}
	}},
	"Restore ignores the streams": {"Restore_again_and_again", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, restore: func(id string, _, _ io.WriteCloser) (bool, error) {
			return e.IsRunning(id)
		}}
	}},
	"Restore of an unknown ID is an error": {"Restore_of_an_unknown_ID", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, restore: func(id string, stdout, stderr io.WriteCloser) (bool, error) {
			if e.Started(id) == 0 {
				return false, errors.New("no such plugin")
			}
			return e.Restore(id, stdout, stderr)
		}}
	}},
	"Restore takes a run from its streams": {"Restore_of_a_run_that_is_attended", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, restore: func(id string, stdout, stderr io.WriteCloser) (bool, error) {
			e.Close()
			return e.Restore(id, stdout, stderr)
		}}
	}},
	"Runs lists what is over": {"Runs_lists_what_exists", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		var made []string
		return broken{Executor: e,
			create: func(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
				made = append(made, id)
				return e.Create(id, spec, stdout, stderr)
			},
			runs: func() ([]string, error) { return made, nil },
		}
	}},
	"Runs omits what a daemon left": {"Runs_lists_what_exists", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		return broken{Executor: e, runs: func() ([]string, error) { return nil, nil }}
	}},
	"runs of several ids end together": {"many_runs_at_once", func(e *plugintest.Executor, exits func(string)) executortest.Executor {
		return broken{Executor: e, signal: func(id string, signal syscall.Signal) error { e.KillAll(); return nil }}
	}},
	"goroutines are left behind": {"Create_starts", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		go func() { select {} }()
		return e
	}},
	"files are left open": {"Create_starts", func(e *plugintest.Executor, _ func(string)) executortest.Executor {
		_, _ = syscall.Open("/dev/full", syscall.O_RDONLY, 0)
		return e
	}},
}

// The kit notices executors that break the contract, each in one way. It runs in a
// separate process.
func TestKitNoticesFaults(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit := exec.Command(os.Args[0], "-test.run=^TestConformance$/^"+fault.noticedBy+"$")
			kit.Env = append(os.Environ(), faultVariable+"="+name)
			output, err := kit.CombinedOutput()
			var failed *exec.ExitError
			assert.Assert(t, errors.As(err, &failed), "the kit noticed nothing: %v\n%s", err, output)
			assert.Assert(t, strings.Contains(string(output), "--- FAIL: TestConformance/"+fault.noticedBy), "%s", output)
			assert.Assert(t, !strings.Contains(string(output), "panic:"), "%s", output)
		})
	}
}
