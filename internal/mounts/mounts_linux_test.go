// SPDX-License-Identifier: Apache-2.0

package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// deadMount mounts a FUSE file system without a server.
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

func TestDeadMountsAreDetached(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	dir := t.TempDir()
	assert.NilError(t, Share(dir))
	t.Cleanup(func() { assert.Check(t, DetachInside(dir)) })
	dead, alive := filepath.Join(dir, "dead"), filepath.Join(dir, "alive")
	for _, sub := range []string{dead, alive} {
		assert.NilError(t, os.Mkdir(sub, 0o755))
	}
	assert.NilError(t, unix.Mount("alive", alive, "tmpfs", 0, ""))
	deadMount(t, dead)

	assert.NilError(t, DetachDead(dir))
	mounted, err := mountinfo.Mounted(alive)
	assert.NilError(t, err)
	assert.Check(t, mounted, "a living mount was detached")
	mounted, err = mountinfo.Mounted(dir)
	assert.NilError(t, err)
	assert.Check(t, mounted)
	_, err = os.ReadDir(dead)
	assert.NilError(t, err)
}

// TestMountOfTheDirectoryStays: an operator has mounted the directory of a plugin.
// Mounts below it are detached, and the directory's files stay reachable.
func TestMountOfTheDirectoryStays(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	dir := t.TempDir()
	assert.NilError(t, unix.Mount("disk", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { assert.Check(t, DetachInside(dir)) })
	shared := filepath.Join(dir, "shared")
	below := filepath.Join(shared, "below")
	assert.NilError(t, os.MkdirAll(below, 0o755))
	assert.NilError(t, Share(shared))
	assert.NilError(t, unix.Mount("below", below, "tmpfs", 0, ""))

	assert.NilError(t, UnmountBelow(dir, shared))
	left, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 1)
	assert.Equal(t, left[0].Mountpoint, dir)
}
