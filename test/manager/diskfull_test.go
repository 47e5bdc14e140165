// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestDiskFull calls each verb while the disk has no free page, then with one
// free page, then two, until the verb succeeds. A failed verb returns an error
// with class and cause, and changes nothing. With enough space it succeeds.
func TestDiskFull(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	// These verbs must write; the others only delete.
	writes := map[string]bool{"create": true, "create from layout": true, "pull": true, "upgrade": true, "enable": true, "disable": true, "set": true}
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
					assert.Check(t, errdefs.IsInternal(err), "%d pages: %v has no class", pages, err)
					assert.Equal(t, f.state(), before)
					f.Check("the disk has %d pages", pages)
					f.emptyDisk()
					assert.NilError(t, verb.do(f), "after it had %d pages", pages)
				}
				assert.Check(t, full || pages > 0 || !writes[verb.name], "the disk was not full")
				f.emptyDisk()
				assert.Equal(t, f.state(), after)
				f.restart()
				assert.Equal(t, f.state(), after)
				f.Check("restarted after it had %d pages", pages)
			}
		})
	}
}

// newSmallWorld returns a world with its root on a small, separate file system.
func newSmallWorld(t *testing.T) *faultyWorld {
	t.Helper()
	f := unstarted(t)
	assert.NilError(t, unix.Mount("none", f.Config.Root, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() {
		f.Shutdown()
		assert.Check(t, unix.Unmount(f.Config.Root, unix.MNT_DETACH))
	})
	assert.NilError(t, f.boot())
	return f
}

func (f *faultyWorld) ballast() string { return filepath.Join(f.Config.Root, "ballast") }

// fillDisk fills the disk except for a number of pages.
func (f *faultyWorld) fillDisk(pages int) {
	f.T.Helper()
	file, err := os.Create(f.ballast())
	assert.NilError(f.T, err)
	defer file.Close()
	for _, size := range []int{64 << 10, 1} {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		assert.Assert(f.T, errors.Is(err, unix.ENOSPC), "%v", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	assert.NilError(f.T, err)
	assert.NilError(f.T, file.Truncate(size-int64(pages*os.Getpagesize())))
}

func (f *faultyWorld) emptyDisk() {
	f.T.Helper()
	assert.NilError(f.T, os.RemoveAll(f.ballast()))
}
