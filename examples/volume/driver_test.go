// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/go-plugins-helpers/volume"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// open returns a driver on root, as after a restart. Its mounts are unmounted
// when the test ends.
func open(t testing.TB, root string) *driver {
	t.Helper()
	opened, err := newDriver(root, 0o750, options{})
	assert.NilError(t, err)
	t.Cleanup(func() {
		targets, err := os.ReadDir(filepath.Join(root, "mounts"))
		assert.NilError(t, err)
		for _, target := range targets {
			assert.NilError(t, unmount(filepath.Join(root, "mounts", target.Name())))
		}
	})
	return opened
}

func create(t testing.TB, d *driver, name string, given map[string]string) {
	t.Helper()
	assert.NilError(t, d.Create(&volume.CreateRequest{Name: name, Options: given}))
}

func mountFor(t testing.TB, d *driver, name, id string) string {
	t.Helper()
	mounted, err := d.Mount(&volume.MountRequest{Name: name, ID: id})
	assert.NilError(t, err)
	return mounted.Mountpoint
}

func unmountFor(t testing.TB, d *driver, name, id string) {
	t.Helper()
	assert.NilError(t, d.Unmount(&volume.UnmountRequest{Name: name, ID: id}))
}

func write(t testing.TB, path, content string) {
	t.Helper()
	assert.NilError(t, os.WriteFile(path, []byte(content), 0o600))
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	assert.NilError(t, err)
	return string(content)
}

func TestFilesOutliveMountsAndRestarts(t *testing.T) {
	root := t.TempDir()
	first := open(t, root)
	create(t, first, "data", nil)
	mountpoint := mountFor(t, first, "data", "one")
	assert.Equal(t, mountpoint, filepath.Join(root, "mounts", "data"))
	write(t, filepath.Join(mountpoint, "file"), "kept")
	unmountFor(t, first, "data", "one")
	_, err := os.Stat(filepath.Join(mountpoint, "file"))
	assert.ErrorIs(t, err, fs.ErrNotExist)

	second := open(t, root)
	assert.Equal(t, read(t, filepath.Join(mountFor(t, second, "data", "two"), "file")), "kept")
}

func TestVolumeIsMountedUntilItsLastUser(t *testing.T) {
	d := open(t, t.TempDir())
	create(t, d, "data", nil)
	mountpoint := mountFor(t, d, "data", "one")
	assert.Equal(t, mountFor(t, d, "data", "two"), mountpoint)
	assert.ErrorContains(t, d.Remove(&volume.RemoveRequest{Name: "data"}), "volume data is mounted")

	unmountFor(t, d, "data", "one")
	mounted, err := isMounted(mountpoint)
	assert.NilError(t, err)
	assert.Assert(t, mounted)

	unmountFor(t, d, "data", "two")
	mounted, err = isMounted(mountpoint)
	assert.NilError(t, err)
	assert.Assert(t, !mounted)
	unmountFor(t, d, "data", "two")
}

func TestMountSurvivesARestart(t *testing.T) {
	root := t.TempDir()
	before := open(t, root)
	create(t, before, "memory", map[string]string{"size": "1m"})
	file := filepath.Join(mountFor(t, before, "memory", "one"), "file")
	write(t, file, "still here")

	after := open(t, root)
	mountFor(t, after, "memory", "two")
	assert.Equal(t, read(t, file), "still here")
	unmountFor(t, after, "memory", "two")
	mounted, err := isMounted(filepath.Dir(file))
	assert.NilError(t, err)
	assert.Assert(t, !mounted)
}

func TestSizeMakesAVolumeInMemory(t *testing.T) {
	d := open(t, t.TempDir())
	create(t, d, "memory", map[string]string{"size": "64k"})
	mountpoint := mountFor(t, d, "memory", "one")
	var found unix.Statfs_t
	assert.NilError(t, unix.Statfs(mountpoint, &found))
	assert.Equal(t, found.Type, int64(unix.TMPFS_MAGIC))
	assert.Equal(t, found.Blocks*uint64(found.Bsize), uint64(64<<10))
	err := os.WriteFile(filepath.Join(mountpoint, "file"), make([]byte, 65<<10), 0o600)
	assert.ErrorIs(t, err, unix.ENOSPC)

	got, err := d.Get(&volume.GetRequest{Name: "memory"})
	assert.NilError(t, err)
	assert.DeepEqual(t, got.Volume.Status, map[string]any{"users": 1, "size": "64k"})
}

func TestRemovedVolumeLeavesNothing(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	create(t, d, "data", nil)
	write(t, filepath.Join(mountFor(t, d, "data", "one"), "file"), "old")
	unmountFor(t, d, "data", "one")
	assert.NilError(t, d.Remove(&volume.RemoveRequest{Name: "data"}))

	list, err := open(t, root).List()
	assert.NilError(t, err)
	assert.Equal(t, len(list.Volumes), 0)

	create(t, d, "data", nil)
	left, err := os.ReadDir(mountFor(t, d, "data", "two"))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0)
}

func TestVolumesAreListedAndDescribed(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	create(t, d, "data", nil)
	create(t, d, "data", nil) // making it again succeeds

	list, err := d.List()
	assert.NilError(t, err)
	assert.Equal(t, len(list.Volumes), 1)
	got, err := d.Get(&volume.GetRequest{Name: "data"})
	assert.NilError(t, err)
	assert.Equal(t, list.Volumes[0].Mountpoint, filepath.Join(root, "mounts", "data"))
	assert.Equal(t, got.Volume.Mountpoint, "")
	list.Volumes[0].Mountpoint = ""
	assert.DeepEqual(t, got.Volume, list.Volumes[0])

	path, err := d.Path(&volume.PathRequest{Name: "data"})
	assert.NilError(t, err)
	assert.Equal(t, path.Mountpoint, filepath.Join(root, "mounts", "data"))
	assert.Equal(t, d.Capabilities().Capabilities.Scope, "local")

	made, err := os.Stat(filepath.Join(root, "data", "data"))
	assert.NilError(t, err)
	assert.Equal(t, made.Mode().Perm(), os.FileMode(0o750))
}

func TestRefusals(t *testing.T) {
	d := open(t, t.TempDir())
	create(t, d, "data", nil)
	for _, tc := range []struct {
		name string
		do   func() error
		want string
	}{
		{"a path", func() error { return d.Create(&volume.CreateRequest{Name: "../etc"}) }, `volume name "../etc": use letters, digits, _, . and -`},
		{"no name", func() error { return d.Create(&volume.CreateRequest{}) }, `volume name "": use letters`},
		{"an unknown option", func() error {
			return d.Create(&volume.CreateRequest{Name: "a", Options: map[string]string{"color": "red"}})
		}, `unknown option "color": there is only size`},
		{"a size in words", func() error {
			return d.Create(&volume.CreateRequest{Name: "a", Options: map[string]string{"size": "big"}})
		}, `option size=big: want a number with k, m or g`},
		{"mount options in a size", func() error {
			return d.Create(&volume.CreateRequest{Name: "a", Options: map[string]string{"size": "1m,uid=0"}})
		}, `option size=1m,uid=0: want a number`},
		{"other options", func() error {
			return d.Create(&volume.CreateRequest{Name: "data", Options: map[string]string{"size": "1m"}})
		}, `volume data exists with other options`},
		{"get", func() error { _, err := d.Get(&volume.GetRequest{Name: "x"}); return err }, "no volume x"},
		{"path", func() error { _, err := d.Path(&volume.PathRequest{Name: "x"}); return err }, "no volume x"},
		{"mount", func() error { _, err := d.Mount(&volume.MountRequest{Name: "x"}); return err }, "no volume x"},
		{"unmount", func() error { return d.Unmount(&volume.UnmountRequest{Name: "x"}) }, "no volume x"},
		{"remove", func() error { return d.Remove(&volume.RemoveRequest{Name: "x"}) }, "no volume x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Check(t, is.ErrorContains(tc.do(), tc.want))
		})
	}
}

func TestBrokenStateIsNotOverwritten(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "volumes.json")
	write(t, path, "{")
	_, err := newDriver(root, 0o755, options{})
	assert.ErrorContains(t, err, "load volumes from "+path)
	assert.Equal(t, read(t, path), "{")
}
