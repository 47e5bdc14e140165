// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/backend"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestPluginBehindLink: an operator has moved a plugin to another disk and left a
// link. The plugin is listed with the reason, and no blob is collected until it is
// back.
func TestPluginBehindLink(t *testing.T) {
	f := unstarted(t)
	assert.NilError(t, f.boot())
	assert.NilError(t, f.pullVersion("v1"))
	id, before, blobs := f.ID("p"), f.state(), f.Blobs()
	f.Shutdown()
	there, elsewhere := filepath.Join(f.Config.Root, id), filepath.Join(t.TempDir(), "p")
	assert.NilError(t, os.Rename(there, elsewhere))
	assert.NilError(t, os.Symlink(elsewhere, there))
	f.Start()
	err := f.Enable(id, &backend.PluginEnableConfig{})
	assert.Check(t, is.ErrorType(err, &plugin.BrokenError{}))
	assert.Check(t, is.ErrorContains(err, there+" is a symbolic link: move the directory back, or mount it there"))
	f.GC()
	assert.DeepEqual(t, f.Blobs(), blobs)
	f.Shutdown()
	assert.NilError(t, os.Remove(there))
	assert.NilError(t, os.Rename(elsewhere, there))
	f.Start()
	assert.Equal(t, f.state(), before)
	f.Check("the plugin is back")
}

// TestPluginOnOtherDisk: an operator has mounted the directory of a plugin. The mount
// outlives starts, stops and upgrades, and a removal is refused.
func TestPluginOnOtherDisk(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	f := unstarted(t)
	assert.NilError(t, f.boot())
	assert.NilError(t, f.pullVersion("v1"))
	id := f.ID("p")
	f.Shutdown()
	there, elsewhere := filepath.Join(f.Config.Root, id), t.TempDir()
	mountAt(t, "disk", elsewhere, "tmpfs", 0, "")
	assert.NilError(t, os.CopyFS(elsewhere, os.DirFS(there)))
	assert.NilError(t, unix.Mount(elsewhere, there, "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(there, unix.MNT_DETACH) })
	f.Start()
	f.MustEnable("p")
	assert.NilError(t, f.Disable("p", nil))
	assert.NilError(t, f.upgrade(f.repository+"v2", "p", f.privileges()))
	version, err := os.ReadFile(filepath.Join(elsewhere, "rootfs", "etc", "version"))
	assert.NilError(t, err)
	assert.Equal(t, string(version), "v2")
	assert.Check(t, is.ErrorIs(f.Remove("p", nil), unix.EBUSY))
	f.MustEnable("p")
	f.Restart()
	assert.Check(t, f.Enabled("p") && f.Alive("p"))
	assert.NilError(t, f.Disable("p", nil))
	f.Shutdown()
	assert.NilError(t, unix.Unmount(there, 0), "the mount was detached, or is used")
}
