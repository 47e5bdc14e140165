// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The limits of executors in these tests.
const (
	shortCreate     = 2 * time.Second
	shortCleanup    = time.Second
	shortUnfinished = 500 * time.Millisecond
)

// hangs are the ways in which a runtime's call does not end. Each is a piece
// of shell script.
var hangs = map[string]string{
	"before it does anything":          `exec sleep 1000`,
	"in a child that holds its output": `trap '' TERM; sleep 1000; exit 0`,
	"after it did all":                 `runc "$@"; sleep 1000`,
	"stopped":                          `kill -STOP $$; exit 1`,
}

// hangingRuntime returns a runtime that is runc until call number first, and
// hangs from there on, in count calls.
func hangingRuntime(t *testing.T, how string, first, count int) string {
	t.Helper()
	calls, script := t.TempDir(), filepath.Join(t.TempDir(), "runc")
	assert.NilError(t, os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
n=0
until mkdir %[1]s/$n 2>/dev/null; do n=$((n+1)); done
if [ $n -ge %[2]d ] && [ $n -lt %[3]d ]; then
	%[4]s
fi
exec runc "$@"
`, calls, first, first+count, how), 0o700))
	return script
}

func newHangingExecutor(t *testing.T, runtime, root string, ended attendtest.Exits) *runc.Executor {
	t.Helper()
	e, err := runc.New(root, ended, runc.WithRuntime(runtime), runc.WithLimits(shortCreate, shortCleanup, shortUnfinished))
	assert.NilError(t, err)
	return e
}

// A runtime may hang in whichever call. Every method returns within its bound,
// no process is left, and once the runtime works again, nothing at all.
func TestARuntimeHangs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	for name, how := range hangs {
		for first := range 3 {
			for _, count := range []int{1, 1000} {
				t.Run(fmt.Sprintf("%s/from call %d/%d times", name, first, count), func(t *testing.T) {
					t.Parallel()
					root, ended, id := t.TempDir(), make(attendtest.Exits, 2), attendtest.NewID()
					e := newHangingExecutor(t, hangingRuntime(t, how, first, count), root, ended)
					live(t, e, ended, rootfs, id)
					assert.NilError(t, attendtest.Within(t, 5*time.Second, "Close", e.Close))
					attendtest.AwaitNoneOf(t, id)

					e = newExecutor(t, "runc", root, ended)
					assert.NilError(t, e.Close())
					assertNothingLeft(t, root)
					assert.Equal(t, len(cgroupsOf(t, id)), 0, "%q", cgroupsOf(t, id))
				})
			}
		}
	}
}

// live leads a plugin through its life. Any step may fail, none may hang.
func live(t *testing.T, e *runc.Executor, ended attendtest.Exits, rootfs, id string) {
	t.Helper()
	for range 2 {
		stdout, stderr := attendtest.NewOutput(), attendtest.NewOutput()
		err := attendtest.Within(t, shortCreate+2*shortCleanup, "Create", func() error {
			return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), stdout, stderr)
		})
		if err != nil {
			assert.Assert(t, errdefs.IsUnavailable(err) || errdefs.IsInternal(err), "%v", err)
			stdout.All(t)
			stderr.All(t)
			attendtest.AwaitNoneOf(t, id)
		}
		alive, runningErr := e.IsRunning(id)
		assert.NilError(t, runningErr)
		assert.Equal(t, alive, err == nil)
		if err == nil {
			assert.NilError(t, e.Signal(id, syscall.SIGKILL))
			ended.Await(t, id)
		}
	}
	_ = attendtest.Within(t, 2*shortCleanup, "Restore", func() error {
		alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
		assert.Check(t, !alive)
		return err
	})
}

// A runtime that hangs half way has made a container already.
func TestARuntimeHangsHalfWay(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			root, id := t.TempDir(), attendtest.NewID()
			e := newHangingExecutor(t, runtimePath(t, runtime), root, make(attendtest.Exits))
			defer e.Close()
			spec := executortest.Spec(rootfs, "wait=", "id="+id)
			spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1000", id}}}}
			spec.Hooks.CreateRuntime[0] = specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000; exit 0", id}}
			err := attendtest.Within(t, shortCreate+2*shortCleanup, "Create", func() error {
				return e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput())
			})
			assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
			assert.ErrorContains(t, err, "no answer within 2s")
			assertNothingLeft(t, root)
			attendtest.AwaitNoneOf(t, id)
			assert.Equal(t, len(cgroupsOf(t, id)), 0, "%q", cgroupsOf(t, id))
		})
	}
}

// A Restore that returns after its caller gave up leaves the run alive, and the next
// Restore takes it over.
func TestALateRestoreEndsNothing(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	leave(t, root, rootfs, id, "wait=", "id="+id)
	e, err := runc.New(root, ended, runc.WithLimits(shortCreate, time.Millisecond, time.Millisecond))
	assert.NilError(t, err)
	defer e.Close()
	restore := func() (alive bool, err error) {
		_ = attendtest.Within(t, 2*runc.OpenHandover, "Restore", func() error {
			alive, err = e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
			return err
		})
		return alive, err
	}
	goOn := e.HoldUp()
	_, err = restore()
	goOn()
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "hangs: no answer within 1ms")
	alive, err := restore()
	for errdefs.IsUnavailable(err) { // the late call is still being undone
		alive, err = restore()
	}
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// Close ends a wait at once, and later calls fail at once.
func TestCloseEndsWaits(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, waits := t.TempDir(), attendtest.NewID(), make(attendtest.Exits)
	started := notice(t, rootfs, "started")
	e, err := runc.New(root, waits, runc.WithRuntime(hangingRuntime(t, "echo > "+filepath.Join(rootfs, "started")+"; exec sleep 1000", 0, 1)))
	assert.NilError(t, err)
	created := make(chan error, 1)
	go func() {
		created <- e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
	}()
	started()
	_, err = e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.Assert(t, errdefs.IsUnavailable(err), "a second call for one id: %v", err)
	assert.NilError(t, attendtest.Within(t, time.Second, "Close", e.Close))
	err = <-created
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "executor is closed")
	assertNothingLeft(t, root)
}

// After Close the executor no longer knows living runs. Calls for their IDs fail,
// and do not wait for an exit that is no longer watched.
func TestCallsAfterClose(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	e := newExecutor(t, "runc", root, ended)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	assert.NilError(t, e.Close())
	calls := map[string]func() error{
		"Create": func() error {
			return e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
		},
		"Restore": func() error {
			_, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
			return err
		},
	}
	for name, call := range calls {
		err := attendtest.Within(t, 0, name, call)
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "executor is closed")
	}
	e = newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// An exit handler or a stream's writer that does not return holds nothing up
// for ever.
func TestForeignCodeHangs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	root, ids := t.TempDir(), []string{attendtest.NewID(), attendtest.NewID()}
	goOn, handling := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	e, err := runc.New(root, handler(func(string) {
		close(handling)
		<-goOn
	}))
	assert.NilError(t, err)
	assert.NilError(t, e.Create(ids[0], executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
	<-handling
	writing := stuckWriter{make(chan struct{}, 1), goOn}
	assert.NilError(t, e.Create(ids[1], executortest.Spec(rootfs, "out=x", "wait="), writing, attendtest.NewOutput()))
	<-writing.reached
	defer func() {
		next := newExecutor(t, "runc", root, make(attendtest.Exits, 1))
		defer next.Close()
		assert.NilError(t, next.Signal(ids[1], syscall.SIGKILL))
	}()

	err = attendtest.Within(t, 5*time.Second, "Close", e.Close)
	assert.ErrorContains(t, err, "the end of plugin "+ids[0]+" is still being handled")
	again := attendtest.Within(t, 0, "Close", e.Close)
	assert.Assert(t, errors.Is(again, err) || again.Error() == err.Error())
}

// stuckWriter says that it was reached and writes only after goOn closes.
type stuckWriter struct {
	reached chan struct{}
	goOn    <-chan struct{}
}

func (w stuckWriter) Write(p []byte) (int, error) {
	select {
	case w.reached <- struct{}{}:
	default:
	}
	<-w.goOn
	return len(p), nil
}

func (stuckWriter) Close() error { return nil }

var _ io.WriteCloser = stuckWriter{}
