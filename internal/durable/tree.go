// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Tree is a directory that is filled and then made durable. It must be opened
// before the first byte is written: the kernel writes in the background, and
// reports a failed write once to each descriptor that was open then. A descriptor
// opened just before the sync can miss the error, because another descriptor got
// it: https://man7.org/linux/man-pages/man2/fsync.2.html and
// https://docs.kernel.org/core-api/errseq.html.
//
// On file systems known to report lost writes there, one syncfs(2) covers the whole
// tree. On all others, such as FUSE and overlayfs, each file is synced by the
// descriptor that wrote it, and each directory at the end: see
// docs/decisions/syncing.md.
//
// A Tree belongs to one goroutine.
type Tree struct {
	fs    *FS
	path  string
	dir   *os.File
	whole bool           // one syncfs covers the tree
	each  errgroup.Group // syncs of single files, which Sync and Close wait for
}

// syncedAtOnce bounds the in-flight syncs of single files, and so the open files.
// A higher bound is not faster; see BenchmarkSync.
const syncedAtOnce = 16

// OpenTree opens the directory at path, so that Sync can report writes below it
// that fail from now on. The caller closes the tree.
func (f *FS) OpenTree(path string) (*Tree, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{fs: f, path: path, dir: dir, whole: syncsWhole(dir)}
	t.each.SetLimit(syncedAtOnce)
	return t, nil
}

// FileCloser returns a function that closes a file below the tree, by the
// descriptor that wrote it. It returns nil if close(2) is enough. The function
// syncs the file first, in the background, and blocks while too many syncs are in
// flight. Sync returns their errors.
func (t *Tree) FileCloser() func(fd int) {
	if t.whole {
		return nil
	}
	return func(fd int) {
		file := os.NewFile(uintptr(fd), t.path)
		t.each.Go(func() error {
			err := t.fs.sync(t.path, file.Sync)
			if closeErr := file.Close(); err == nil {
				err = closeErr
			}
			return err
		})
	}
}

// Sync makes the contents and names durable that were written since the tree was
// opened. If syncfs is not enough, it covers only the contents of files that
// FileCloser closed. Its time depends on all dirty data of the file system,
// including other programs'. Its error can come from another program's failed
// write on the same file system: the kernel does not distinguish them. Call Sync
// once.
func (t *Tree) Sync() error {
	return t.fs.step("sync", t.path, func() error {
		if !t.whole {
			if err := t.syncEach(); err != nil {
				return fmt.Errorf("sync %s: %w", t.path, err)
			}
		}
		return t.fs.sync(t.path, func() error { return syncTree(t.dir) })
	})
}

// SyncAll is Sync for a tree with files that FileCloser has not closed. If syncfs is
// not enough, it opens each file again. This misses a failed write if the kernel has
// since dropped the file from memory, so the caller must keep the source of the tree
// until SyncAll has returned.
func (t *Tree) SyncAll() error {
	if !t.whole {
		err := filepath.WalkDir(t.path, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			t.each.Go(func() error { return errors.Join(t.fs.sync(path, file.Sync), file.Close()) })
			return nil
		})
		if err != nil {
			return fmt.Errorf("sync %s: %w", t.path, err)
		}
	}
	return t.Sync()
}

// syncEach waits for the syncs of files, and syncs the directories.
func (t *Tree) syncEach() error {
	if err := t.each.Wait(); err != nil {
		return err
	}
	return t.fs.sync(t.path, func() error { return syncDirectories(t.dir) })
}

// Close waits for the in-flight syncs of files and closes the directory.
func (t *Tree) Close() {
	_ = t.each.Wait() // Sync returns the error; without a Sync the tree is discarded
	_ = t.dir.Close()
}
