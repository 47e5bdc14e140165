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
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// Two processes with one directory would each end the other's runs as those of
// unknown plugins.
func TestADirectoryHasOneProcess(t *testing.T) {
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	// A descriptor of its own is to flock(2) what another process is.
	other, err := dirlock.Lock(root)
	assert.NilError(t, err)
	_, err = containerd.New(context.Background(), root, d.client, namespace, make(exits), shim, nil)
	var locked *containerd.LockedError
	assert.Assert(t, errors.As(err, &locked), "%v", err)
	assert.Equal(t, locked.Directory, root)
	assert.Assert(t, errdefs.IsConflict(err))
	assert.NilError(t, other.Close())

	e := d.newExecutor(root, make(exits))
	_, err = dirlock.Lock(root)
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
	assert.NilError(t, e.Close())
	other, err = dirlock.Lock(root)
	assert.NilError(t, err, "Close frees the directory")
	assert.NilError(t, other.Close())
}

// Within a process the newer executor wins, as after a crash of the daemon
// that the older one served.
func TestANewerExecutorTakesOver(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id, olderEnded, ended := t.TempDir(), newID(), make(exits, 1), make(exits, 1)
	older := d.newExecutor(root, olderEnded)
	stdout, pull := newOutput(), trigger(t, rootfs, "go")
	assert.NilError(t, older.Create(id, executortest.Spec(rootfs, "step=/go", "out=hello", "wait="), stdout, newOutput()))

	// The same directory by another name.
	link := filepath.Join(t.TempDir(), "link")
	assert.NilError(t, os.Symlink(root, link))
	e := d.newExecutor(link, ended)
	defer e.Close()
	assert.Equal(t, stdout.all(t), "")
	err := older.Signal(id, syscall.SIGKILL)
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	err = older.Create(newID(), executortest.Spec(rootfs), newOutput(), newOutput())
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assert.NilError(t, older.Close())

	stdout = newOutput()
	alive, err := e.Restore(id, stdout, newOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	pull()
	stdout.awaitText(t, "hello\n")
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
	assert.Equal(t, len(olderEnded), 0)
}

// The directory is volatile: where it was cleared, it is made and locked again.
func TestTheDirectoryIsCleared(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := filepath.Join(t.TempDir(), "c"), newID(), make(exits, 1)
	e := d.newExecutor(root, ended)
	defer e.Close()
	assert.NilError(t, os.RemoveAll(root))
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	_, err := dirlock.Lock(root)
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
}
