// SPDX-License-Identifier: Apache-2.0

package trees

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// nest makes nested directories with a file in each, and returns the innermost
// one.
func nest(t testing.TB, top string, depth int) (innermost int) {
	t.Helper()
	fd, err := unix.Open(top, directoryFlags, 0)
	assert.NilError(t, err)
	for range depth {
		file, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		assert.NilError(t, err)
		assert.NilError(t, unix.Close(file))
		assert.NilError(t, unix.Mkdirat(fd, "d", 0o700))
		below, err := unix.Openat(fd, "d", directoryFlags, 0)
		assert.NilError(t, err)
		assert.NilError(t, unix.Close(fd))
		fd = below
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func remove(t testing.TB, path string) error {
	t.Helper()
	r, err := Remove(path)
	assert.NilError(t, err)
	defer r.Close()
	for {
		if done, err := r.Run(context.WithoutCancel(t.Context()), 1000); done || err != nil {
			return err
		}
	}
}

// withDescriptors runs do while the process can open only a few files.
func withDescriptors(t *testing.T, do func()) {
	t.Helper()
	var before unix.Rlimit
	assert.NilError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	few := before
	few.Cur = highest(t) + 6
	assert.NilError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer func() { assert.NilError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	do()
}

// highest returns the highest open descriptor.
func highest(t *testing.T) (fd uint64) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	assert.NilError(t, err)
	for _, entry := range open {
		var n uint64
		_, err := fmt.Sscan(entry.Name(), &n)
		assert.NilError(t, err)
		fd = max(fd, n)
	}
	return fd
}

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// deep is a depth beyond PATH_MAX and beyond the limit of open files.
const deep = 3000

func TestRemoveOfDeepTrees(t *testing.T) {
	dir := t.TempDir()
	top := filepath.Join(dir, "top")
	assert.NilError(t, os.Mkdir(top, 0o700))
	nest(t, top, deep)
	assert.NilError(t, remove(t, top))
	assert.Check(t, gone(top))

	assert.NilError(t, os.Mkdir(top, 0o700))
	nest(t, top, deep)
	withDescriptors(t, func() { assert.NilError(t, remove(t, top)) })
	assert.Check(t, gone(top))
}

// The number of steps is linear in the number of names: ten times the depth takes
// ten times the steps.
func TestRemovalIsLinear(t *testing.T) {
	steps := func(depth int) (n int) {
		top := t.TempDir()
		nest(t, top, depth)
		r, err := Remove(top)
		assert.NilError(t, err)
		defer r.Close()
		for done := false; !done; n++ {
			done, err = r.Run(t.Context(), 1)
			assert.NilError(t, err)
		}
		return n
	}
	few, many := steps(300), steps(3000)
	assert.Check(t, many < 11*few, "%d steps for 300 levels, %d for 3000", few, many)
	assert.Check(t, many < 6*3000, "%d steps for 3000 levels", many)
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestRemoveOfWideTrees(t *testing.T) {
	top := t.TempDir()
	for i := range 1000 {
		assert.NilError(t, os.MkdirAll(filepath.Join(top, fmt.Sprint("d", i), "e"), 0o700))
		assert.NilError(t, os.WriteFile(filepath.Join(top, fmt.Sprint("f", i)), nil, 0o600))
	}
	assert.NilError(t, remove(t, top))
	assert.Check(t, gone(top))
}

func TestRemoveOfOtherThings(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(outside, "file"), nil, 0o600))
	link := filepath.Join(dir, "link")
	assert.NilError(t, os.Symlink(outside, link))
	assert.NilError(t, remove(t, link))
	assert.Check(t, gone(link))
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, "tree", "below"), 0o700))
	assert.NilError(t, os.Symlink(outside, filepath.Join(dir, "tree", "below", "link")))
	assert.NilError(t, remove(t, filepath.Join(dir, "tree")))
	assert.Check(t, !gone(filepath.Join(outside, "file")), "a symbolic link was followed")
	assert.NilError(t, remove(t, filepath.Join(dir, "missing")))
	assert.NilError(t, remove(t, filepath.Join(dir, "missing", "below")))
}

func TestNothingBelowMountIsTouched(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	top, outside := t.TempDir(), t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(outside, "file"), nil, 0o600))
	// Deeper than maxOpen, so that the mount moves up with its parent.
	innermost := nest(t, top, 3*maxOpen)
	place := fmt.Sprintf("/proc/self/fd/%d/d", innermost)
	assert.NilError(t, os.Mkdir(place, 0o700))
	assert.NilError(t, unix.Mount(outside, place, "", unix.MS_BIND, ""))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(place, unix.MNT_DETACH)) })

	mounts, dirs := 0, 0
	err := Walk(t.Context(), openTop(t, top), Visitor{
		Enter:   func(Dir, string, Dir) (bool, error) { dirs++; return true, nil },
		Mounted: func(Dir, string) error { mounts++; return nil },
	})
	assert.NilError(t, err)
	assert.Equal(t, mounts, 1)
	assert.Equal(t, dirs, 3*maxOpen)

	assert.Check(t, is.ErrorContains(remove(t, top), `delete "d": it is a mount point`))
	assert.Check(t, !gone(filepath.Join(outside, "file")))
}

func openTop(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, directoryFlags, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// A removal deletes everything else if some names can't be deleted. Its error
// stays short.
func TestRemovalGoesOnBeyondFailures(t *testing.T) {
	top := t.TempDir()
	innermost := nest(t, top, 5*maxOpen)
	kept, err := unix.Openat(innermost, strings.Repeat("k", 255), unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
	assert.NilError(t, err)
	defer unix.Close(kept)
	if err := unix.IoctlSetPointerInt(kept, unix.FS_IOC_SETFLAGS, immutable); err != nil {
		testenv.Skip(t, "the file system has no immutable files")
	}
	defer func() { assert.NilError(t, unix.IoctlSetPointerInt(kept, unix.FS_IOC_SETFLAGS, 0)) }()
	for i := range 100 {
		assert.NilError(t, os.MkdirAll(filepath.Join(top, fmt.Sprint("d", i), "e"), 0o700))
	}
	err = remove(t, top)
	assert.Check(t, is.ErrorIs(err, unix.EPERM))
	assert.Check(t, len(err.Error()) < 500, "%d bytes: %.100s", len(err.Error()), err)
	files := 0
	assert.NilError(t, Walk(t.Context(), openTop(t, top), Visitor{File: func(Dir, string) error { files++; return nil }}))
	assert.Equal(t, files, 1)
}

func TestRemovalStopsAndGoesOn(t *testing.T) {
	top := t.TempDir()
	nest(t, top, 100)
	r, err := Remove(top)
	assert.NilError(t, err)
	defer r.Close()
	done, err := r.Run(t.Context(), 50)
	assert.NilError(t, err)
	assert.Check(t, !done)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Run(ended, 50)
	assert.Check(t, is.ErrorIs(err, context.Canceled))
	done, err = r.Run(t.Context(), 1<<20)
	assert.NilError(t, err)
	assert.Check(t, done)
	assert.Check(t, gone(top))
}

// A walk returns to directories that it had to close, and continues there.
func TestWalkVisitsAll(t *testing.T) {
	top := t.TempDir()
	path := top
	for level := range 3 * maxOpen {
		for i := range 5 {
			assert.NilError(t, os.WriteFile(filepath.Join(path, fmt.Sprintf("file%d-%d", level, i)), nil, 0o600))
			assert.NilError(t, os.MkdirAll(filepath.Join(path, fmt.Sprintf("dir%d-%d", level, i), "below"), 0o700))
		}
		path = filepath.Join(path, "deeper")
		assert.NilError(t, os.Mkdir(path, 0o700))
	}
	var want, files, entered, left []string
	assert.NilError(t, filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if path != top {
			want = append(want, filepath.Base(path))
		}
		return err
	}))
	assert.NilError(t, Walk(t.Context(), openTop(t, top), Visitor{
		File:  func(_ Dir, name string) error { files = append(files, name); return nil },
		Enter: func(_ Dir, name string, _ Dir) (bool, error) { entered = append(entered, name); return true, nil },
		Leave: func(_ Dir, name string) error { left = append(left, name); return nil },
	}))
	got := slices.Concat(files, entered)
	slices.Sort(got)
	slices.Sort(want)
	assert.DeepEqual(t, got, want)
	slices.Sort(entered)
	slices.Sort(left)
	assert.DeepEqual(t, left, entered)
}

func TestWalkOfDeepTrees(t *testing.T) {
	top := t.TempDir()
	nest(t, top, deep)
	t.Cleanup(func() { assert.NilError(t, remove(t, top)) })
	files := 0
	before := highest(t)
	assert.NilError(t, Walk(t.Context(), openTop(t, top), Visitor{File: func(dir Dir, _ string) error {
		files++
		assert.Check(t, uint64(dir.FD) <= before+maxOpen+4)
		return nil
	}}))
	assert.Equal(t, files, deep)
}

func TestWalkEnds(t *testing.T) {
	top := t.TempDir()
	nest(t, top, 2*maxOpen)
	failure := errors.New("enough")
	err := Walk(t.Context(), openTop(t, top), Visitor{File: func(Dir, string) error { return failure }})
	assert.Check(t, is.ErrorIs(err, failure))
	ctx, cancel := context.WithCancel(t.Context())
	err = Walk(ctx, openTop(t, top), Visitor{File: func(Dir, string) error { cancel(); return nil }})
	assert.Check(t, is.ErrorIs(err, context.Canceled))

	// A plugin moves a directory away while the walk is deep inside it.
	other := t.TempDir()
	depth, kept := 0, -1
	err = Walk(t.Context(), openTop(t, top), Visitor{Enter: func(parent Dir, _ string, _ Dir) (bool, error) {
		switch depth++; depth {
		case 5:
			fd, err := unix.Dup(parent.FD)
			kept = fd
			return true, err
		case maxOpen + 20:
			defer unix.Close(kept)
			return true, unix.Renameat(kept, "d", unix.AT_FDCWD, filepath.Join(other, "away"))
		}
		return true, nil
	}})
	assert.Check(t, is.ErrorIs(err, ErrMoved))
}

func BenchmarkRemove(b *testing.B) {
	for _, remover := range []struct {
		name   string
		remove func(string) error
	}{
		{"own", func(path string) error { return remove(b, path) }},
		{"os", os.RemoveAll},
	} {
		b.Run(remover.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				top := filepath.Join(b.TempDir(), "top")
				for d := range 200 {
					dir := filepath.Join(top, fmt.Sprint("d", d))
					assert.NilError(b, os.MkdirAll(dir, 0o700))
					for i := range 100 {
						assert.NilError(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
					}
				}
				b.StartTimer()
				begun := time.Now()
				assert.NilError(b, remover.remove(top))
				b.ReportMetric(float64(time.Since(begun).Microseconds())/20000, "µs/name")
			}
		})
	}
}
