package durable

import (
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
)

// Tree is a directory that is filled and then made durable. It is opened before
// the first byte is written: the kernel writes in the background, and reports
// what it could not write to those who had the file system open then, once. A
// descriptor opened just before the sync can miss it, because others were told;
// see the section on errors in fsync(2), and
// https://docs.kernel.org/core-api/errseq.html.
//
// One syncfs(2) covers the whole tree on the file systems that are known to
// report there what was lost. On all others, FUSE and overlayfs among them, each
// file is synced by the descriptor that wrote it, and each directory at the end:
// see docs/decisions/syncing.md.
//
// A Tree belongs to one goroutine.
type Tree struct {
	fs    *FS
	path  string
	dir   *os.File
	whole bool           // one syncfs covers it
	each  errgroup.Group // syncs of single files; the tree's until they are waited for
}

// syncedAtOnce bounds the syncs of single files that are in flight, and the
// files that are open because of them. More were no faster; see BenchmarkSync.
const syncedAtOnce = 16

// OpenTree begins to notice what can't be written below the directory at path.
// The caller closes the tree.
func (f *FS) OpenTree(path string) (*Tree, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{fs: f, path: path, dir: dir, whole: syncsWhole(dir)}
	t.each.SetLimit(syncedAtOnce)
	return t, nil
}

// FileCloser returns what closes a file below the tree, by the descriptor that
// wrote it. It is nil where close(2) will do. Elsewhere it syncs the file first, in
// the background, and blocks while too many are being synced. What can't be synced
// is an error of Sync.
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

// Sync makes everything in the directory durable that was written since the tree
// was opened, contents and names; where syncfs is not enough the contents are
// those of the files that FileCloser closed. It is as slow as the file system has
// dirty data, of others as well. An error is also what others failed to write on
// the same file system: whose data that was is not known. A tree is synced once.
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

// syncEach waits for the files, and syncs the directories.
func (t *Tree) syncEach() error {
	if err := t.each.Wait(); err != nil {
		return err
	}
	return t.fs.sync(t.path, func() error { return syncDirectories(t.dir) })
}

// Close releases the directory, and waits for files that are being synced.
func (t *Tree) Close() {
	_ = t.each.Wait() // Sync returns it; without a Sync the tree is thrown away
	_ = t.dir.Close()
}
