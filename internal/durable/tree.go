package durable

import "os"

// Tree is a directory that is filled and then made durable. It is opened before
// the first byte is written: the kernel writes in the background, and reports
// what it could not write to those who had the file system open then, once. A
// descriptor opened just before the sync can miss it, because others were told;
// see the section on errors in fsync(2), and
// https://docs.kernel.org/core-api/errseq.html.
type Tree struct {
	fs   *FS
	path string
	dir  *os.File
}

// OpenTree begins to notice what can't be written below the directory at path.
// The caller closes the tree.
func (f *FS) OpenTree(path string) (*Tree, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &Tree{fs: f, path: path, dir: dir}, nil
}

// Sync makes everything in the directory durable that was written since the tree
// was opened, contents and names. It is as slow as the file system has dirty
// data, of others as well. An error is also what others failed to write on the
// same file system: whose data that was is not known.
func (t *Tree) Sync() error {
	return t.fs.step("sync", t.path, func() error {
		return t.fs.sync(t.path, func() error { return syncTree(t.dir) })
	})
}

// Close releases the directory.
func (t *Tree) Close() { _ = t.dir.Close() }
