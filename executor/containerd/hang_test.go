//go:build linux

package containerd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The limits of executors in these tests, and what a call may take on top of
// them on a loaded machine.
const (
	shortCreate = 1500 * time.Millisecond
	shortOutage = 500 * time.Millisecond
	slack       = 10 * time.Second
)

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

// Containerd may stop answering at whichever call, before or after it did what
// was asked. Every method returns within its bound. Once containerd answers
// again, nothing is left of what failed.
func TestContainerdHangs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	// A life takes fewer calls.
	const enough = 32
	for k := range enough + 1 {
		for _, deaf := range []bool{true, false} {
			t.Run(fmt.Sprintf("at call %d/before it is asked %v", k, deaf), func(t *testing.T) {
				t.Parallel()
				hung := liveWith(t, d, rootfs, k, deaf)
				if k <= 10 || k == enough {
					assert.Equal(t, hung, k < enough)
				}
			})
		}
	}
}

// liveWith leads a plugin through its life with a containerd that stops
// answering at call k, and reports whether there was one. Any step may fail,
// none may hang.
func liveWith(t *testing.T, d *daemon, rootfs string, k int, deaf bool) (hung bool) {
	p, cli := startProxy(t, d)
	root, ended, id := t.TempDir(), make(exits, 2), newID()
	e, err := containerd.New(t.Context(), root, cli, namespace, ended, shim, nil)
	assert.NilError(t, err)
	e.LimitCreate(shortCreate)
	e.GiveUpAfter(shortOutage)
	p.stopAfter(k, deaf)

	stdout := newOutput()
	created := within(t, shortCreate+2*shortOutage, "Create", func() error {
		return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), stdout, newOutput())
	})
	if created != nil {
		assert.Assert(t, errdefs.IsUnavailable(created), "%v", created)
		stdout.all(t)
		created = within(t, shortCreate+2*shortOutage, "Create again", func() error {
			return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), newOutput(), newOutput())
		})
		assert.Assert(t, errdefs.IsUnavailable(created), "%v", created)
	}
	for _, name := range []string{"IsRunning", "Restore", "Signal", "Runs"} {
		call := callsOf(e, id, executortest.Spec(rootfs))[name]
		err := within(t, shortOutage, name, call)
		if name == "Restore" && created == nil {
			assert.Assert(t, errdefs.IsConflict(err) || errdefs.IsUnavailable(err), "%v", err)
			continue
		}
		assert.Assert(t, err == nil || errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	hung = p.hasStopped()
	p.resume()
	if created == nil {
		// A kill that was cut short may have arrived.
		err := e.Signal(id, syscall.SIGKILL)
		assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
		ended.await(t, id)
	}
	awaitUndone(t, e, id)
	assert.NilError(t, within(t, 5*time.Second, "Close", e.Close))
	d.assertNothingLeftOf(t, id, root)
	return hung
}

// awaitUndone waits until a failed start of id is undone. Until then its id is
// unavailable, and the end of that is no event to a stranger.
func awaitUndone(t *testing.T, e *containerd.Executor, id string) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		alive, err := e.Restore(id, newOutput(), newOutput())
		assert.Assert(t, !alive)
		if err == nil {
			return
		}
		assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
		select {
		case <-again.C:
		case <-limit.Done():
			t.Fatalf("the start was not undone within %v: %v", patience, err)
		}
	}
}

// The real thing: a containerd that is stopped by a signal.
func TestContainerdIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, other := t.TempDir(), make(exits, 1), newID(), newID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	e.LimitCreate(shortCreate)
	e.GiveUpAfter(shortOutage)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))

	assert.NilError(t, d.command.Process.Signal(syscall.SIGSTOP))
	stopped := true
	goOn := func() {
		if stopped {
			assert.NilError(t, d.command.Process.Signal(syscall.SIGCONT))
			stopped = false
		}
	}
	defer goOn()
	for name, call := range callsOf(e, other, executortest.Spec(rootfs, "wait=", "id="+other)) {
		err := within(t, shortCreate+2*shortOutage, name, call)
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	err := within(t, shortOutage, "Signal", func() error { return e.Signal(id, syscall.SIGTERM) })
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	goOn()
	awaitUndone(t, e, other)
	err = e.Signal(id, syscall.SIGKILL)
	assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
	ended.await(t, id)
	d.assertNothingLeft(root)
	assert.Equal(t, len(processesOf(t, other)), 0, "%q", processesOf(t, other))
}

// Close does not wait for a containerd that does not answer. What it makes of
// an unfinished start is found by the next executor.
func TestCloseWhileContainerdIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	p, cli := startProxy(t, d)
	root, ended, id := t.TempDir(), make(exits, 1), newID()
	e, err := containerd.New(t.Context(), root, cli, namespace, ended, shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	p.stopAfter(5, false)
	created := make(chan error, 1)
	go func() { created <- e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()) }()
	<-p.reached
	assert.NilError(t, within(t, 2*time.Second, "Close", e.Close))
	err = <-created
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "executor is closed")
	p.resume()

	next := d.newExecutor(root, ended)
	defer next.Close()
	runs, err := next.Runs()
	assert.NilError(t, err)
	if slices.Contains(runs, id) {
		alive, err := next.Restore(id, newOutput(), newOutput())
		assert.NilError(t, err)
		if alive {
			assert.NilError(t, next.Signal(id, syscall.SIGKILL))
			ended.await(t, id)
		}
	}
	d.assertNothingLeft(root)
}

// A task whose shim does not answer may live: nothing is done to it.
func TestAShimIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(exits, 1), newID()
	e := d.newExecutor(root, ended)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	pid, ok := e.Pid(id)
	assert.Assert(t, ok)
	assert.NilError(t, e.Close())

	shimPid := parentOf(t, pid)
	stopProcess(t, shimPid)
	next := d.newExecutor(root, ended)
	defer next.Close()
	for _, name := range []string{"IsRunning", "Restore"} {
		err := within(t, 10*time.Second, name, callsOf(next, id, executortest.Spec(rootfs))[name])
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	assert.NilError(t, syscall.Kill(shimPid, syscall.SIGCONT))
	alive, err := next.Restore(id, newOutput(), newOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, next.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
	d.assertNothingLeft(root)
}

// stopProcess stops a process until the test lets it go on, or ends. Its threads
// stop one by one, which is no event to a process that is not its parent.
func stopProcess(t *testing.T, pid int) {
	t.Helper()
	assert.NilError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !isStopped(t, pid) {
		select {
		case <-again.C:
		case <-limit.Done():
			t.Fatalf("process %d has not stopped within %v", pid, patience)
		}
	}
}

func isStopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	assert.NilError(t, err)
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		assert.NilError(t, err)
		if !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return len(threads) > 0
}

// The context of New has values for the executor, no end: a daemon stops its
// plugins after the signal that ended its context.
func TestNewsContextEnds(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(exits, 1), newID()
	ctx, cancel := context.WithCancel(t.Context())
	e, err := containerd.New(ctx, root, d.client, namespace, ended, shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	cancel()
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs), newOutput(), newOutput()))
	ended.await(t, id)
	d.assertNothingLeft(root)
}

// A namespace may be shared. Runs of other executors in it are none of ours.
func TestRuns(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended := t.TempDir(), make(exits, 2)
	e, other := d.newExecutor(root, ended), d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	defer other.Close()
	mine, theirs := newID(), newID()
	assert.NilError(t, e.Create(mine, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	assert.NilError(t, other.Create(theirs, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	runs, err := e.Runs()
	assert.NilError(t, err)
	assert.DeepEqual(t, runs, []string{mine})
	assert.NilError(t, e.Signal(mine, syscall.SIGKILL))
	ended.await(t, mine)
	runs, err = e.Runs()
	assert.NilError(t, err)
	assert.Equal(t, len(runs), 0, "%q", runs)
	assert.NilError(t, other.Signal(theirs, syscall.SIGKILL))
	ended.await(t, theirs)
}
