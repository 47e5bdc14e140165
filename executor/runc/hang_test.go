//go:build linux

package runc_test

import (
	"context"
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

	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The limits of executors in these tests, and what a call may take on top of
// them on a loaded machine.
const (
	shortCreate     = 2 * time.Second
	shortCleanup    = time.Second
	shortUnfinished = 500 * time.Millisecond
	slack           = 10 * time.Second
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

func newHangingExecutor(t *testing.T, runtime, root string, ended exits) *runc.Executor {
	t.Helper()
	e, err := runc.New(root, ended, runc.WithRuntime(runtime), runc.WithLimits(shortCreate, shortCleanup, shortUnfinished))
	assert.NilError(t, err)
	return e
}

// within fails the test if a call takes longer than its bound.
func within(t *testing.T, bound time.Duration, name string, call func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- call() }()
	limit, cancel := context.WithTimeout(t.Context(), bound+slack)
	defer cancel()
	select {
	case err := <-result:
		return err
	case <-limit.Done():
		t.Fatalf("%s did not return within %v and %v", name, bound, slack)
		return nil
	}
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
					root, ended, id := t.TempDir(), make(exits, 2), newID()
					e := newHangingExecutor(t, hangingRuntime(t, how, first, count), root, ended)
					live(t, e, ended, rootfs, id)
					assert.NilError(t, within(t, 5*time.Second, "Close", e.Close))
					assert.Equal(t, len(processesOf(t, id)), 0, "%q", processesOf(t, id))

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
func live(t *testing.T, e *runc.Executor, ended exits, rootfs, id string) {
	t.Helper()
	for range 2 {
		stdout, stderr := newOutput(), newOutput()
		err := within(t, shortCreate+2*shortCleanup, "Create", func() error {
			return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), stdout, stderr)
		})
		if err != nil {
			assert.Assert(t, errdefs.IsUnavailable(err) || errdefs.IsInternal(err), "%v", err)
			stdout.all(t)
			stderr.all(t)
			assert.Equal(t, len(processesOf(t, id)), 0, "%v: %q", err, processesOf(t, id))
		}
		alive, runningErr := e.IsRunning(id)
		assert.NilError(t, runningErr)
		assert.Equal(t, alive, err == nil)
		if err == nil {
			assert.NilError(t, e.Signal(id, syscall.SIGKILL))
			ended.await(t, id)
		}
	}
	_ = within(t, 2*shortCleanup, "Restore", func() error {
		alive, err := e.Restore(id, newOutput(), newOutput())
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
			root, id := t.TempDir(), newID()
			e := newHangingExecutor(t, runtimePath(t, runtime), root, make(exits))
			defer e.Close()
			spec := executortest.Spec(rootfs, "wait=", "id="+id)
			spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1000", id}}}}
			spec.Hooks.CreateRuntime[0] = specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000; exit 0", id}}
			err := within(t, shortCreate+2*shortCleanup, "Create", func() error {
				return e.Create(id, spec, newOutput(), newOutput())
			})
			assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
			assert.ErrorContains(t, err, "it took longer than 2s")
			assertNothingLeft(t, root)
			assert.Equal(t, len(processesOf(t, id)), 0, "%q", processesOf(t, id))
			assert.Equal(t, len(cgroupsOf(t, id)), 0, "%q", cgroupsOf(t, id))
		})
	}
}

// Close ends a wait at once, and later calls fail at once.
func TestCloseEndsWaits(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, waits := t.TempDir(), newID(), make(exits)
	started := notice(t, rootfs, "started")
	e, err := runc.New(root, waits, runc.WithRuntime(hangingRuntime(t, "echo > "+filepath.Join(rootfs, "started")+"; exec sleep 1000", 0, 1)))
	assert.NilError(t, err)
	created := make(chan error, 1)
	go func() { created <- e.Create(id, executortest.Spec(rootfs), newOutput(), newOutput()) }()
	started()
	_, err = e.Restore(id, newOutput(), newOutput())
	assert.Assert(t, errdefs.IsUnavailable(err), "a second call for one id: %v", err)
	assert.NilError(t, within(t, time.Second, "Close", e.Close))
	err = <-created
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "executor is closed")
	assertNothingLeft(t, root)
}

// After Close a living run is nobody's: calls for its id fail, and don't wait
// for an end that is seen no more.
func TestCallsAfterClose(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), newID(), make(exits, 1)
	e := newExecutor(t, "runc", root, ended)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	assert.NilError(t, e.Close())
	calls := map[string]func() error{
		"Create": func() error { return e.Create(id, executortest.Spec(rootfs), newOutput(), newOutput()) },
		"Restore": func() error {
			_, err := e.Restore(id, newOutput(), newOutput())
			return err
		},
	}
	for name, call := range calls {
		err := within(t, 0, name, call)
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "executor is closed")
	}
	e = newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, newOutput(), newOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
}

// An exit handler or a stream's writer that does not return holds nothing up
// for ever.
func TestForeignCodeHangs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	root, ids := t.TempDir(), []string{newID(), newID()}
	goOn, handling := make(chan struct{}), make(chan struct{})
	defer close(goOn)
	e, err := runc.New(root, handler(func(string) {
		close(handling)
		<-goOn
	}))
	assert.NilError(t, err)
	assert.NilError(t, e.Create(ids[0], executortest.Spec(rootfs), newOutput(), newOutput()))
	<-handling
	writing := stuckWriter{make(chan struct{}, 1), goOn}
	assert.NilError(t, e.Create(ids[1], executortest.Spec(rootfs, "out=x", "wait="), writing, newOutput()))
	<-writing.reached
	defer func() {
		next := newExecutor(t, "runc", root, make(exits, 1))
		defer next.Close()
		assert.NilError(t, next.Signal(ids[1], syscall.SIGKILL))
	}()

	err = within(t, 5*time.Second, "Close", e.Close)
	assert.ErrorContains(t, err, "the end of plugin "+ids[0]+" is still being handled")
	again := within(t, 0, "Close", e.Close)
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
