// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// TestADirectoryHasOneProcess refuses the directory of another process: otherwise each
// process would end the other's runs as those of unknown plugins. It refuses no other
// containerd and no other namespace: docker's daemons share the directory.
func TestADirectoryHasOneProcess(t *testing.T) {
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	e := d.newExecutor(root, make(attendtest.Exits))
	locks, err := filepath.Glob(filepath.Join(root, ".lock-*"))
	assert.NilError(t, err)
	assert.Equal(t, len(locks), 1)
	_, err = dirlock.Lock(locks[0])
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
	assert.NilError(t, e.Close())

	// To flock(2) a second descriptor is like another process.
	other, err := dirlock.Lock(locks[0])
	assert.NilError(t, err, "Close frees the directory")
	defer other.Close()
	_, err = containerd.New(context.Background(), root, d.client, namespace, make(attendtest.Exits), shim, nil)
	var locked *containerd.LockedError
	assert.Assert(t, errors.As(err, &locked), "%v", err)
	assert.Equal(t, locked.Directory, root)
	assert.Assert(t, errdefs.IsConflict(err))

	elsewhere, err := containerd.New(context.Background(), root, d.client, "elsewhere", make(attendtest.Exits), shim, nil)
	assert.NilError(t, err)
	assert.NilError(t, elsewhere.Close())
	second := startDaemon(t)
	assert.NilError(t, second.newExecutor(root, make(attendtest.Exits)).Close())
}

// Within a process the newer executor wins, as if the daemon of the older executor
// had crashed.
func TestANewerExecutorTakesOver(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id, olderEnded, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1), make(attendtest.Exits, 1)
	older := d.newExecutor(root, olderEnded)
	stdout, pull := attendtest.NewOutput(), attendtest.Trigger(t, rootfs, "go")
	assert.NilError(t, older.Create(id, executortest.Spec(rootfs, "step=/go", "out=hello", "wait="), stdout, attendtest.NewOutput()))

	// The same directory by another name.
	link := filepath.Join(t.TempDir(), "link")
	assert.NilError(t, os.Symlink(root, link))
	e := d.newExecutor(link, ended)
	defer e.Close()
	assert.Equal(t, stdout.All(t), "")
	err := older.Signal(id, syscall.SIGKILL)
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	err = older.Create(attendtest.NewID(), executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput())
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.NilError(t, older.Close())

	stdout = attendtest.NewOutput()
	alive, err := e.Restore(id, stdout, attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	pull()
	stdout.AwaitText(t, "hello\n")
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assert.Equal(t, len(olderEnded), 0)
}

// A directory that was deleted is made and locked again, because it can be on a
// tmpfs.
func TestTheDirectoryIsCleared(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := filepath.Join(t.TempDir(), "c"), attendtest.NewID(), make(attendtest.Exits, 1)
	e := d.newExecutor(root, ended)
	defer e.Close()
	assert.NilError(t, os.RemoveAll(root))
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	locks, err := filepath.Glob(filepath.Join(root, ".lock-*"))
	assert.NilError(t, err)
	assert.Equal(t, len(locks), 1)
	_, err = dirlock.Lock(locks[0])
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}
