// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

const (
	shelfBytes = 4 << 30   // sparse
	diskBytes  = 400 << 20 // the least that mkfs.xfs takes, and some room
)

// shelf is a directory on a file system that can copy a file at once.
type shelf struct {
	t    testing.TB
	dir  string
	made int
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	image := filepath.Join(memory(t), "shelf.img")
	s := &shelf{t: t, dir: filepath.Join(t.TempDir(), "shelf")}
	makeFileSystem(t, image, shelfBytes, "mkfs.xfs", "-q", "-m", "reflink=1")
	mount(t, image, s.dir, "loop")
	t.Cleanup(func() { unmount(t, s.dir) })
	return s
}

// memory returns a directory in memory, if there is one with room. Losses are
// simulated above it.
func memory(t testing.TB) string {
	t.Helper()
	const shm = "/dev/shm"
	var stat unix.Statfs_t
	if unix.Statfs(shm, &stat) != nil || stat.Bavail*uint64(stat.Bsize) < shelfBytes {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "powercut")
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(dir)) })
	return dir
}

// disk is a file system on a loop device with a backing file on a shelf.
type disk struct {
	shelf   *shelf
	kind    fileSystem
	backing string
	dir     string // the mount point
}

// fileSystem is how a kind of disk is made and mounted.
type fileSystem struct {
	name  string
	make  []string
	mount string
}

var fileSystems = []fileSystem{
	// Without the heuristics that help programs which don't sync, and without
	// the regular commit that would hide them.
	{"ext4", []string{"mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"}, "loop,noauto_da_alloc,commit=600"},
	// A copy has the ID of its original, which the kernel can still hold.
	{"xfs", []string{"mkfs.xfs", "-q"}, "loop,nouuid"},
}

func (s *shelf) disk(kind fileSystem) *disk {
	s.t.Helper()
	d := &disk{shelf: s, kind: kind, backing: s.file(), dir: filepath.Join(s.t.TempDir(), "disk")}
	makeFileSystem(s.t, d.backing, diskBytes, kind.make...)
	mount(s.t, d.backing, d.dir, kind.mount)
	s.t.Cleanup(func() { unmount(s.t, d.dir) })
	return d
}

func (s *shelf) file() string {
	s.made++
	return filepath.Join(s.dir, strconv.Itoa(s.made)+".img")
}

// cut returns a copy of the disk's content if its power failed now.
func (d *disk) cut() (copied string) {
	d.shelf.t.Helper()
	copied = d.shelf.file()
	from, err := os.Open(d.backing)
	assert.NilError(d.shelf.t, err)
	defer from.Close()
	to, err := os.Create(copied)
	assert.NilError(d.shelf.t, err)
	defer to.Close()
	assert.NilError(d.shelf.t, unix.IoctlFileClone(int(to.Fd()), int(from.Fd())))
	return copied
}

// restart replaces the disk by the copy, as after a power cut.
func (d *disk) restart(copied string) {
	d.shelf.t.Helper()
	unmount(d.shelf.t, d.dir)
	assert.NilError(d.shelf.t, os.Remove(d.backing))
	d.backing = copied
	mount(d.shelf.t, d.backing, d.dir, d.kind.mount)
}

func makeFileSystem(t testing.TB, image string, size int64, command ...string) {
	t.Helper()
	assert.NilError(t, os.WriteFile(image, nil, 0o600))
	assert.NilError(t, os.Truncate(image, size))
	call(t, append(command, image)...)
}

func mount(t testing.TB, image, dir, options string) {
	t.Helper()
	assert.NilError(t, os.MkdirAll(dir, 0o700))
	call(t, "mount", "-o", options, image, dir)
}

// unmount unmounts a file system and all mounts below, and so frees its loop
// device.
func unmount(t testing.TB, dir string) {
	t.Helper()
	assert.NilError(t, unix.Unmount(dir, unix.MNT_DETACH))
}

func call(t testing.TB, command ...string) {
	t.Helper()
	output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	assert.NilError(t, err, "%q: %s", command, output)
}

// TestCutKeepsWhatWasSyncedAndNothingElse checks the harness's own assumption
// about the copy.
func TestCutKeepsWhatWasSyncedAndNothingElse(t *testing.T) {
	needRoot(t)
	s := newShelf(t)
	for _, kind := range fileSystems {
		t.Run(kind.name, func(t *testing.T) {
			d := s.disk(kind)
			write := func(name string, sync bool) {
				file, err := os.Create(filepath.Join(d.dir, name))
				assert.NilError(t, err)
				_, err = file.WriteString(name)
				assert.NilError(t, err)
				if sync {
					assert.NilError(t, file.Sync())
				}
				assert.NilError(t, file.Close())
			}
			write("synced", true)
			write("not synced", false)
			copied := d.cut()
			write("after", true)
			d.restart(copied)
			data, err := os.ReadFile(filepath.Join(d.dir, "synced"))
			assert.NilError(t, err)
			assert.Equal(t, string(data), "synced")
			for _, lost := range []string{"not synced", "after"} {
				data, err = os.ReadFile(filepath.Join(d.dir, lost))
				assert.Check(t, err != nil || len(data) == 0, "%s is there: %q", lost, data)
			}
		})
	}
}
