// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/bounded/boundedtest"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/mounts"
	"github.com/dovetailhq/plugin/internal/seam"
	"github.com/dovetailhq/plugin/internal/supervise"
	"github.com/dovetailhq/plugin/internal/testenv"
	v2 "github.com/dovetailhq/plugin/v2"
)

// TestSilentServer starts, stops and removes a plugin with a mount below its
// propagated mount that never answers, and with one on top of the propagated
// mount. It takes no verb long, and the mounts are gone.
func TestSilentServer(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
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
			u := newUnit(&pm.host, p, nil)
			pm.register(u)
			assert.NilError(t, u.process.sharePropagatedMount())
			target := filepath.Join(pm.root.Plugin(p.GetID()), place)
			assert.NilError(t, os.MkdirAll(target, 0o755))
			boundedtest.Silence(t, target)

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

// TestRemoveWithBusyMount keeps a mount busy, so that it can only be detached:
// the plugin is gone all the same, and its data is not touched through the
// mount.
func TestRemoveWithBusyMount(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
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
	pm.register(newUnit(&pm.host, p, nil))

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
	assert.NilError(t, mounts.DetachInside(root))
	pm.GC()
	entries, err := os.ReadDir(root)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 2, "what was busy is swept when it no longer is: %v", entries)
	_, err = os.Stat(filepath.Join(data, "precious"))
	assert.NilError(t, err)
}

// TestSilentFileSystemInStarts explains starts of plugins with a mount from a
// file system that does not answer. The error is Unavailable. Each plugin leaves one
// thread in the file system, and another plugin is diagnosed nevertheless.
func TestSilentFileSystemInStarts(t *testing.T) {
	silent := boundedtest.TempDir(t)
	boundedtest.Silence(t, silent)
	source := filepath.Join(silent, "data")
	unitOf := func(id string, mounts ...types.PluginMount) *unit {
		p := &v2.Plugin{PluginObj: types.Plugin{ID: fullID(id), Name: id + ":latest"}, Rootfs: t.TempDir()}
		p.PluginObj.Settings.Mounts = mounts
		return newUnit(&host{ctx: t.Context()}, p, nil)
	}
	var hanging []*unit
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		hanging = append(hanging, unitOf(id, types.PluginMount{Type: "bind", Source: &source, Destination: "/data"}))
	}
	err := hanging[0].explain(&v2.NoAnswerError{Path: source, Mountpoint: silent, FileSystem: "fuse.silent"})
	assert.Check(t, errdefs.IsUnavailable(err) && !errdefs.IsInternal(err), "%v", err)

	texts := make(chan string)
	for _, u := range hanging {
		for range 4 {
			go func() { texts <- u.diagnose() }()
		}
	}
	for range 4 * len(hanging) {
		assert.Check(t, is.Contains(<-texts, "a file system of the plugin does not answer"))
	}
	assert.Check(t, is.Equal(boundedtest.Hanging(t), len(hanging)))
	assert.Check(t, is.Equal(unitOf("f").diagnose(), "the config has no entrypoint"))
}

// TestManagersSeeEachOtherBeforeTheyLoad looks for a plugin of a manager that has
// joined the others and not loaded its records yet.
func TestManagersSeeEachOtherBeforeTheyLoad(t *testing.T) {
	opened := func() *Manager {
		config := ManagerConfig{Root: t.TempDir(), ExecRoot: t.TempDir()}
		pm := unopened(config.withDefaults(), seam.Parts{Files: &durable.FS{}, Sockets: supervise.NewSockets()})
		t.Cleanup(func() { assert.NilError(t, pm.close()) })
		assert.NilError(t, pm.open())
		pm.join()
		return pm
	}
	one, other := opened(), opened()
	id := fullID("a")
	assert.Check(t, !one.isElsewhere(id))
	assert.NilError(t, os.Mkdir(other.root.Plugin(id), 0o700))
	assert.Check(t, one.isElsewhere(id))
	other.load(nil)
	assert.Check(t, !one.isElsewhere(id), "a directory without a plugin")
}
