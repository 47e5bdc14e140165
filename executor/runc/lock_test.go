// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// Two processes with one directory would each take the other's runs for
// leftovers.
func TestADirectoryHasOneProcess(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	d := startDaemon(t, "runc", root, rootfs, id, "wait=")
	d.awaitLines("created")

	_, err := runc.New(root, ended)
	var locked *runc.LockedError
	assert.Assert(t, errors.As(err, &locked), "%v", err)
	assert.Equal(t, locked.Directory, root)
	assert.Assert(t, errdefs.IsConflict(err))

	d.kill()
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive, "the refused executor left the run alone")
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// Within a process the newer executor wins, as after a crash of the daemon
// that the older one served.
func TestANewerExecutorTakesOver(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, olderEnded, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1), make(attendtest.Exits, 1)
	older := newExecutor(t, "runc", root, olderEnded)
	stdout, pull := attendtest.NewOutput(), attendtest.Trigger(t, rootfs, "go")
	assert.NilError(t, older.Create(id, executortest.Spec(rootfs, "step=/go", "out=hello", "wait="), stdout, attendtest.NewOutput()))

	// The same directory by another name.
	link := filepath.Join(t.TempDir(), "link")
	assert.NilError(t, os.Symlink(root, link))
	e := newExecutor(t, "runc", link, ended)
	defer e.Close()
	assert.Equal(t, stdout.All(t), "")
	err := older.Signal(id, syscall.SIGKILL)
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	err = older.Create(attendtest.NewID(), executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)

	stdout = attendtest.NewOutput()
	alive, err := e.Restore(id, stdout, attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	pull()
	stdout.AwaitText(t, "hello\n")
	// The older one's Close frees nothing that is the newer one's.
	assert.NilError(t, older.Close())
	newest := newExecutor(t, "runc", root, ended)
	defer newest.Close()
	alive, err = newest.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, newest.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assert.Equal(t, len(olderEnded), 0)
}

// A closed executor leaves its processes alone. It does not report a living process
// as not found, nor a dead one as living.
func TestSignalAfterClose(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	e := newExecutor(t, "runc", root, ended)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	assert.NilError(t, e.Close())
	assertClosed := func(lives bool) {
		t.Helper()
		err := e.Signal(id, syscall.SIGKILL)
		assert.ErrorIs(t, err, attend.ErrClosed)
		assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
		running, err := e.IsRunning(id)
		assert.NilError(t, err)
		assert.Equal(t, running, lives)
	}
	assertClosed(true)

	next := newExecutor(t, "runc", root, ended)
	defer next.Close()
	assertClosed(true)
	alive, err := next.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, next.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assertClosed(false)
}

// A record that can't be read can belong to a living process, which must not be
// ended because of that.
func TestNotKnowingIsNotDead(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
	leave(t, root, rootfs, id, "wait=")
	record := filepath.Join(root, "bundles", id, "run.json")
	aside := filepath.Join(t.TempDir(), "aside")
	assert.NilError(t, os.Rename(record, aside))
	assert.NilError(t, os.Mkdir(record, 0o700)) // reading it fails

	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	_, err := e.IsRunning(id)
	assert.ErrorContains(t, err, record)
	_, err = e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.ErrorContains(t, err, record)
	assert.ErrorContains(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()), record)

	assert.NilError(t, os.Remove(record))
	assert.NilError(t, os.Rename(aside, record))
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// A daemon may crash while its runtime hangs in the middle of a start. The
// next one ends what hangs.
func TestADaemonLeavesAHungRuntime(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id := t.TempDir(), attendtest.NewID()
	await := notice(t, rootfs, id)
	how := "echo > " + filepath.Join(rootfs, id) + "; exec sleep 1000"
	d := startDaemon(t, hangingRuntime(t, how, 0, 1), root, rootfs, id, "wait=", "id="+id)
	await()
	d.kill()
	e := newHangingExecutor(t, "runc", root, make(attendtest.Exits))
	defer e.Close()
	attendtest.AwaitNoneOf(t, id)
	assertNothingLeft(t, root)
}

func TestRuns(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended := t.TempDir(), make(attendtest.Exits, 1)
	living, dead := attendtest.NewID(), attendtest.NewID()
	leave(t, root, rootfs, living, "wait=")
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	pull := attendtest.Trigger(t, rootfs, "go")
	assert.NilError(t, e.Create(dead, executortest.Spec(rootfs, "step=/go"), attendtest.NewOutput(), attendtest.NewOutput()))
	assert.NilError(t, os.Mkdir(filepath.Join(root, "bundles", "theirs"), 0o700))
	assert.NilError(t, os.WriteFile(filepath.Join(root, "bundles", "theirs", "file"), nil, 0o600))

	runs, err := e.Runs()
	assert.NilError(t, err)
	slices.Sort(runs)
	want := []string{living, dead}
	slices.Sort(want)
	assert.DeepEqual(t, runs, want)

	pull()
	ended.Await(t, dead)
	alive, err := e.Restore(living, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(living, syscall.SIGKILL))
	ended.Await(t, living)
	runs, err = e.Runs()
	assert.NilError(t, err)
	assert.Equal(t, len(runs), 0, "%q", runs)
}
