package plugin_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestDiskFull calls each verb while the disk has no page left, then one, then
// two, until the verb succeeds. One that fails says so, by class and cause, and
// has changed nothing; when there is space again it succeeds.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	// What these need to write can't be written; the others only delete.
	writes := map[string]bool{"create": true, "pull": true, "upgrade": true, "enable": true, "disable": true, "set": true}
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			for pages, full := 0, true; full; pages++ {
				f := newSmallWorld(t)
				verb.prepare(f)
				before, after := f.state(), verb.after
				if after == "same" {
					after = before
				}
				f.fillDisk(pages)
				err := verb.do(f)
				full = err != nil
				if full {
					assert.Check(t, is.ErrorIs(err, unix.ENOSPC), "%d pages", pages)
					assert.Check(t, cerrdefs.IsInternal(err), "%d pages: %v has no class", pages, err)
					assert.Equal(t, f.state(), before)
					f.check("the disk has %d pages", pages)
					f.emptyDisk()
					assert.NilError(t, verb.do(f), "after it had %d pages", pages)
				}
				assert.Check(t, full || pages > 0 || !writes[verb.name], "the disk was not full")
				f.emptyDisk()
				assert.Equal(t, f.state(), after)
				f.restart()
				assert.Equal(t, f.state(), after)
				f.check("restarted after it had %d pages", pages)
			}
		})
	}
}

// newSmallWorld is a world whose root is a disk of its own, and small.
func newSmallWorld(t *testing.T) *faultyWorld {
	t.Helper()
	f := unstarted(t)
	assert.NilError(t, unix.Mount("none", f.config.Root, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() {
		f.Shutdown()
		assert.Check(t, unix.Unmount(f.config.Root, unix.MNT_DETACH))
	})
	assert.NilError(t, f.boot())
	return f
}

func (f *faultyWorld) ballast() string { return filepath.Join(f.config.Root, "ballast") }

// fillDisk leaves that many pages.
func (f *faultyWorld) fillDisk(pages int) {
	f.t.Helper()
	file, err := os.Create(f.ballast())
	assert.NilError(f.t, err)
	defer file.Close()
	for _, size := range []int{64 << 10, 1} {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		assert.Assert(f.t, errors.Is(err, unix.ENOSPC), "%v", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	assert.NilError(f.t, err)
	assert.NilError(f.t, file.Truncate(size-int64(pages*os.Getpagesize())))
}

func (f *faultyWorld) emptyDisk() {
	f.t.Helper()
	assert.NilError(f.t, os.RemoveAll(f.ballast()))
}
