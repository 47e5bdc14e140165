package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	v2 "github.com/dovetailhq/plugin/v2"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
}

// deadMount mounts a FUSE file system whose server has gone.
func deadMount(t *testing.T, dir string) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	assert.NilError(t, err)
	options := fmt.Sprintf("fd=%d", device.Fd()) + ",rootmode=40000,user_id=0,group_id=0"
	assert.NilError(t, unix.Mount("dead", dir, "fuse", 0, options))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	assert.NilError(t, device.Close())
	_, err = os.Lstat(dir)
	assert.Check(t, is.ErrorIs(err, unix.ENOTCONN))
}

// silentMount mounts a FUSE file system whose server lives and never answers.
// Whatever asks it hangs, until the test ends.
func silentMount(t *testing.T, dir string) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, device.Close()) })
	options := fmt.Sprintf("fd=%d", device.Fd()) + ",rootmode=40000,user_id=0,group_id=0"
	assert.NilError(t, unix.Mount("silent", dir, "fuse", 0, options))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// TestSilentServer starts, stops and removes a plugin with a mount below its
// propagated mount that never answers, and with one on top of the propagated
// mount. It takes no verb long, and the mounts are gone.
func TestSilentServer(t *testing.T) {
	needsRoot(t)
	for _, place := range []string{"propagated-mount/volume", "propagated-mount"} {
		t.Run(filepath.Base(place), func(t *testing.T) {
			root, execRoot := t.TempDir(), t.TempDir()
			pm, err := NewManager(ManagerConfig{
				Root: root, ExecRoot: execRoot,
				CreateExecutor: func(*Manager) (Executor, error) { return nil, nil },
			})
			assert.NilError(t, err)
			t.Cleanup(pm.Shutdown)
			p := &v2.Plugin{PluginObj: types.Plugin{ID: fullID("a"), Name: "silent:latest"}}
			p.PluginObj.Config.PropagatedMount = "/data"
			assert.NilError(t, pm.config.Store.Add(p))
			u := newUnit(pm, p, nil)
			pm.register(u)
			assert.NilError(t, u.process.sharePropagatedMount())
			target := filepath.Join(pm.root.Plugin(p.GetID()), place)
			assert.NilError(t, os.MkdirAll(target, 0o755))
			silentMount(t, target)

			if place != "propagated-mount" {
				began := time.Now()
				assert.NilError(t, u.process.sharePropagatedMount())
				assert.NilError(t, u.process.sharePropagatedMount())
				assert.Check(t, time.Since(began) < 5*time.Second)
				mounted, err := mountedAt(target)
				assert.NilError(t, err)
				assert.Check(t, mounted, "a server that may come back was taken for dead")
			}
			u.process.Stopped()
			mounted, err := mountedAt(target)
			assert.NilError(t, err)
			assert.Check(t, !mounted)
			assert.NilError(t, pm.Remove("silent", nil))
		})
	}
}

// mountedAt asks the mount table alone.
func mountedAt(dir string) (bool, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	return len(mounts) > 0, err
}

func TestDeadMountsAreDetached(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	assert.NilError(t, shareMounts(dir))
	t.Cleanup(func() { assert.Check(t, unmountAll(dir)) })
	dead, alive := filepath.Join(dir, "dead"), filepath.Join(dir, "alive")
	for _, sub := range []string{dead, alive} {
		assert.NilError(t, os.Mkdir(sub, 0o755))
	}
	assert.NilError(t, unix.Mount("alive", alive, "tmpfs", 0, ""))
	deadMount(t, dead)

	assert.NilError(t, detachDead(dir))
	mounted, err := mountinfo.Mounted(alive)
	assert.NilError(t, err)
	assert.Check(t, mounted, "a living mount was detached")
	mounted, err = mountinfo.Mounted(dir)
	assert.NilError(t, err)
	assert.Check(t, mounted)
	_, err = os.ReadDir(dead)
	assert.NilError(t, err)
}

// TestRemoveWithBusyMount keeps a mount busy, so that it can only be detached:
// the plugin is gone all the same, and its data is not touched through the
// mount.
func TestRemoveWithBusyMount(t *testing.T) {
	needsRoot(t)
	root, execRoot := t.TempDir(), t.TempDir()
	pm, err := NewManager(ManagerConfig{
		Root: root, ExecRoot: execRoot,
		CreateExecutor: func(*Manager) (Executor, error) { return nil, nil },
	})
	assert.NilError(t, err)
	t.Cleanup(pm.Shutdown)
	id := fullID("a")
	propagated := pm.root.PropagatedMount(id)
	assert.NilError(t, os.MkdirAll(filepath.Join(propagated, "volume"), 0o755))
	data := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(data, "precious"), nil, 0o600))
	mountpoint := filepath.Join(propagated, "volume")
	assert.NilError(t, unix.Mount(data, mountpoint, "", unix.MS_BIND, ""))
	p := &v2.Plugin{PluginObj: types.Plugin{ID: id, Name: "busy:latest"}}
	assert.NilError(t, pm.config.Store.Add(p))
	pm.register(newUnit(pm, p, nil))

	busy := exec.CommandContext(context.Background(), "cat")
	busy.Dir = mountpoint
	in, err := busy.StdinPipe()
	assert.NilError(t, err)
	assert.NilError(t, busy.Start())
	assert.NilError(t, pm.Remove("busy", &backend.PluginRmConfig{}))
	_, err = pm.Get("busy")
	assert.Check(t, is.ErrorType(err, &NotFoundError{}))
	_, err = os.Stat(filepath.Join(data, "precious"))
	assert.NilError(t, err, "something was deleted below a mount point")

	assert.NilError(t, in.Close())
	assert.NilError(t, busy.Wait())
	assert.NilError(t, unmountAll(root))
	pm.GC()
	entries, err := os.ReadDir(root)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 2, "what was busy is swept when it no longer is: %v", entries)
	_, err = os.Stat(filepath.Join(data, "precious"))
	assert.NilError(t, err)
}
