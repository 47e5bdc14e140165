// SPDX-License-Identifier: Apache-2.0

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
	"github.com/containerd/errdefs/pkg/errgrpc"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The limits of executors in these tests.
const (
	shortCreate = 1500 * time.Millisecond
	shortOutage = 500 * time.Millisecond
)

// Containerd can stop answering at any call, before or after it performed the
// request. Every method returns within its bound. Once containerd answers again,
// nothing is left of failed calls.
func TestContainerdHangs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	// liveWith makes fewer calls than this.
	const enough = 32
	for k := range enough + 1 {
		for _, deaf := range []bool{true, false} {
			t.Run(fmt.Sprintf("at call %d/before it is asked %v", k, deaf), func(t *testing.T) {
				t.Parallel()
				hung, slow := liveWith(t, d, rootfs, k, deaf)
				for slow && !hung {
					hung, slow = liveWith(t, d, rootfs, k, deaf) // the machine was too busy to reach call k
				}
				if k <= 10 || k == enough {
					assert.Equal(t, hung, k < enough)
				}
			})
		}
	}
}

// liveWith starts a plugin, calls every method and ends the plugin, with a containerd
// that stops answering at call k. It reports whether that call was made, and whether a
// method ran out of time. Methods can fail but must not hang.
func liveWith(t *testing.T, d *daemon, rootfs string, k int, deaf bool) (hung, slow bool) {
	p, cli := startProxy(t, d)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 2), attendtest.NewID()
	e, err := containerd.New(t.Context(), root, cli, namespace, ended, shim, nil)
	assert.NilError(t, err)
	e.LimitCreate(shortCreate)
	e.GiveUpAfter(shortOutage)
	p.stopAfter(k, deaf)

	stdout := attendtest.NewOutput()
	created := attendtest.Within(t, shortCreate+2*shortOutage, "Create", func() error {
		return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), stdout, attendtest.NewOutput())
	})
	if created != nil {
		slow = true
		assert.Assert(t, errdefs.IsUnavailable(created), "%v", created)
		stdout.All(t)
		created = attendtest.Within(t, shortCreate+2*shortOutage, "Create again", func() error {
			return e.Create(id, executortest.Spec(rootfs, "wait=", "id="+id), attendtest.NewOutput(), attendtest.NewOutput())
		})
		assert.Assert(t, created == nil || errdefs.IsUnavailable(created), "%v", created)
	}
	for _, name := range []string{"IsRunning", "Restore", "Signal", "Runs"} {
		call := callsOf(e, id, executortest.Spec(rootfs))[name]
		err := attendtest.Within(t, shortOutage, name, call)
		slow = slow || errdefs.IsUnavailable(err)
		if name == "Restore" && created == nil {
			assert.Assert(t, errdefs.IsConflict(err) || errdefs.IsUnavailable(err), "%v", err)
			continue
		}
		undone := created != nil && errdefs.IsNotFound(err)
		assert.Assert(t, err == nil || undone || errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	hung = p.hasStopped()
	p.resume()
	if created == nil {
		killAnswered(t, e, id)
		ended.Await(t, id)
	}
	awaitUndone(t, e, id)
	assert.NilError(t, attendtest.Within(t, 5*time.Second, "Close", e.Close))
	d.assertNothingLeftOf(t, id, root)
	return hung, slow
}

// Containerd knows the deadline of a request, and can report its end before the
// client's context has ended.
func TestContainerdReportsTheDeadline(t *testing.T) {
	err := containerd.Native(t.Context(), errgrpc.ToGRPC(context.DeadlineExceeded))
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "containerd does not answer")
}

// killAnswered kills a run, and repeats that until containerd answers: a loaded
// containerd needs more time than the short limit. A kill that timed out may have
// arrived.
func killAnswered(t *testing.T, e *containerd.Executor, id string) {
	t.Helper()
	err := e.Signal(id, syscall.SIGKILL)
	for errdefs.IsUnavailable(err) {
		err = e.Signal(id, syscall.SIGKILL)
	}
	assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
}

// awaitUndone waits until a failed start of id is undone. It polls, because only
// the executor learns when the ID is available again.
func awaitUndone(t *testing.T, e *containerd.Executor, id string) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), attendtest.Patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
		assert.Assert(t, !alive)
		if err == nil {
			return
		}
		assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
		select {
		case <-again.C:
		case <-limit.Done():
			t.Fatalf("the start was not undone within %v: %v", attendtest.Patience, err)
		}
	}
}

// The same with a real containerd that is stopped by a signal.
func TestContainerdIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, other := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), attendtest.NewID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	e.LimitCreate(shortCreate)
	e.GiveUpAfter(shortOutage)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))

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
		err := attendtest.Within(t, shortCreate+2*shortOutage, name, call)
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	err := attendtest.Within(t, shortOutage, "Signal", func() error { return e.Signal(id, syscall.SIGTERM) })
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	goOn()
	awaitUndone(t, e, other)
	err = e.Signal(id, syscall.SIGKILL)
	assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
	ended.Await(t, id)
	d.assertNothingLeft(root)
	attendtest.AwaitNoneOf(t, "id="+other)
}

// Close does not wait for a containerd that does not answer. The next executor
// finds the run of an unfinished start.
func TestCloseWhileContainerdIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	p, cli := startProxy(t, d)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	e, err := containerd.New(t.Context(), root, cli, namespace, ended, shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	p.stopAfter(5, false)
	created := make(chan error, 1)
	go func() {
		created <- e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput())
	}()
	<-p.reached
	assert.NilError(t, attendtest.Within(t, 2*time.Second, "Close", e.Close))
	err = <-created
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "executor is closed")
	p.resume()

	next := d.newExecutor(root, ended)
	defer next.Close()
	runs, err := next.Runs()
	assert.NilError(t, err)
	if slices.Contains(runs, id) {
		alive, err := next.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
		assert.NilError(t, err)
		if alive {
			assert.NilError(t, next.Signal(id, syscall.SIGKILL))
			ended.Await(t, id)
		}
	}
	d.assertNothingLeft(root)
}

// A task whose shim does not answer may be alive, so the executor leaves it alone.
func TestAShimIsStopped(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	e := d.newExecutor(root, ended)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	pid, ok := e.Pid(id)
	assert.Assert(t, ok)
	assert.NilError(t, e.Close())
	_, err := e.IsRunning(id)
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "executor is closed")

	shimPid := testenv.ParentOf(t, pid)
	stopProcess(t, shimPid)
	next := d.newExecutor(root, ended)
	defer next.Close()
	for _, name := range []string{"IsRunning", "Restore"} {
		err := attendtest.Within(t, 10*time.Second, name, callsOf(next, id, executortest.Spec(rootfs))[name])
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
	}
	assert.NilError(t, syscall.Kill(shimPid, syscall.SIGCONT))
	alive, err := next.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, next.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	d.assertNothingLeft(root)
}

// stopProcess stops a process until the test continues it or ends. It polls until
// all threads have stopped, because only the parent is notified.
func stopProcess(t *testing.T, pid int) {
	t.Helper()
	assert.NilError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	limit, cancel := context.WithTimeout(t.Context(), attendtest.Patience)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !isStopped(t, pid) {
		select {
		case <-again.C:
		case <-limit.Done():
			t.Fatalf("process %d has not stopped within %v", pid, attendtest.Patience)
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

// The executor ignores the cancellation of New's context, so that a daemon can stop
// its plugins after a signal canceled the context.
func TestNewsContextEnds(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	ctx, cancel := context.WithCancel(t.Context())
	e, err := containerd.New(ctx, root, d.client, namespace, ended, shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	cancel()
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
	ended.Await(t, id)
	d.assertNothingLeft(root)
}

// Executors can share a namespace. Runs does not list the runs of other executors.
func TestRuns(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended := t.TempDir(), make(attendtest.Exits, 2)
	e, other := d.newExecutor(root, ended), d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	defer other.Close()
	mine, theirs := attendtest.NewID(), attendtest.NewID()
	assert.NilError(t, e.Create(mine, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	assert.NilError(t, other.Create(theirs, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	runs, err := e.Runs()
	assert.NilError(t, err)
	assert.DeepEqual(t, runs, []string{mine})
	assert.NilError(t, e.Signal(mine, syscall.SIGKILL))
	ended.Await(t, mine)
	runs, err = e.Runs()
	assert.NilError(t, err)
	assert.Equal(t, len(runs), 0, "%q", runs)
	assert.NilError(t, other.Signal(theirs, syscall.SIGKILL))
	ended.Await(t, theirs)
}
