// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

// eventPatience bounds waits for events.
const eventPatience = time.Minute

func open(t *testing.T, top string, options Options) *Tree {
	t.Helper()
	tree, err := Open(top, options)
	assert.NilError(t, err)
	t.Cleanup(tree.Close)
	return tree
}

func awaitChange(t *testing.T, tree *Tree) {
	t.Helper()
	select {
	case _, ok := <-tree.Changes:
		assert.Assert(t, ok, "the watch ended: %v", tree.Err())
	case <-time.After(eventPatience):
		t.Fatal("no change is reported")
	}
}

func write(t *testing.T, elements ...string) {
	t.Helper()
	assert.NilError(t, os.WriteFile(filepath.Join(elements...), []byte("x"), 0o600))
}

// Each kind of change is reported, also in directories that are made, moved and moved
// back while they are watched.
func TestChanges(t *testing.T) {
	top, outside := t.TempDir(), t.TempDir()
	assert.NilError(t, os.MkdirAll(filepath.Join(top, "a", "b"), 0o755))
	in := func(elements ...string) string { return filepath.Join(append([]string{top}, elements...)...) }
	tree := open(t, top, Options{})
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { write(t, in("a", "b", "file")); return nil }},
		{"write again", func() error { write(t, in("a", "b", "file")); return nil }},
		{"mode", func() error { return os.Chmod(in("a", "b", "file"), 0o755) }},
		{"link", func() error { return os.Link(in("a", "b", "file"), in("hard")) }},
		{"symlink", func() error { return os.Symlink("file", in("a", "b", "soft")) }},
		{"new directories", func() error { return os.MkdirAll(in("c", "d"), 0o755) }},
		{"write in a new directory", func() error { write(t, in("c", "d", "file")); return nil }},
		{"move within", func() error { return os.Rename(in("c"), in("a", "c")) }},
		{"write in a moved directory", func() error { write(t, in("a", "c", "d", "file")); return nil }},
		{"directory in a moved directory", func() error { return os.Mkdir(in("a", "c", "d", "e"), 0o755) }},
		{"write in that", func() error { write(t, in("a", "c", "d", "e", "file")); return nil }},
		{"move out", func() error { return os.Rename(in("a", "c"), filepath.Join(outside, "c")) }},
		{"move in", func() error { return os.Rename(filepath.Join(outside, "c"), in("c")) }},
		{"write after that", func() error { write(t, in("c", "d", "e", "file")); return nil }},
		{"remove a file", func() error { return os.Remove(in("hard")) }},
		{"remove directories", func() error { return os.RemoveAll(in("c")) }},
		{"make one again", func() error { return os.Mkdir(in("c"), 0o755) }},
		{"write in it", func() error { write(t, in("c", "file")); return nil }},
	} {
		assert.NilError(t, step.do(), step.name)
		t.Log(step.name)
		awaitChange(t, tree)
	}
	tree.Close()
	assert.NilError(t, tree.Err())
}

// happened reports whether the events until now have a change. The tree has no goroutine.
func happened(t *testing.T, tree *Tree) bool {
	t.Helper()
	buffer := make([]byte, 64<<10)
	n, err := tree.inotify.Read(buffer)
	assert.NilError(t, err)
	changed, err := tree.apply(buffer[:n])
	assert.NilError(t, err)
	return changed
}

// A file that is written is no change before it is closed, and neither are names that are
// skipped and what is outside.
func TestNoChanges(t *testing.T) {
	top, outside := t.TempDir(), t.TempDir()
	assert.NilError(t, os.MkdirAll(filepath.Join(top, ".git", "objects"), 0o755))
	assert.NilError(t, os.Mkdir(filepath.Join(top, "moved"), 0o755))
	tree, err := newTree(top, Options{Skip: func(name string) bool { return strings.HasPrefix(name, ".") }})
	assert.NilError(t, err)
	defer tree.inotify.Close()
	assert.NilError(t, os.Rename(filepath.Join(top, "moved"), filepath.Join(outside, "moved")))
	assert.Check(t, happened(t, tree))

	write(t, outside, "moved", "file")
	write(t, top, ".git", "objects", "file")
	write(t, top, ".file")
	file, err := os.Create(filepath.Join(top, "file"))
	assert.NilError(t, err)
	_, err = file.WriteString("x")
	assert.NilError(t, err)
	assert.Check(t, !happened(t, tree))
	assert.NilError(t, file.Close())
	assert.Check(t, happened(t, tree))
}

// Changes that come together are one.
func TestChangesCoalesce(t *testing.T) {
	top := t.TempDir()
	tree, err := newTree(top, Options{})
	assert.NilError(t, err)
	for range 100 {
		write(t, top, "file")
	}
	go tree.run()
	awaitChange(t, tree)
	_ = tree.inotify.Close()
	_, again := <-tree.Changes
	assert.Check(t, !again)
}

// After lost events the tree is read again.
func TestOverflow(t *testing.T) {
	top := t.TempDir()
	assert.NilError(t, os.Mkdir(filepath.Join(top, "a"), 0o755))
	tree, err := newTree(top, Options{})
	assert.NilError(t, err)
	defer tree.inotify.Close()
	tree.directories = map[int32]string{}
	changed, err := tree.follow(unix.InotifyEvent{Wd: -1, Mask: unix.IN_Q_OVERFLOW}, "")
	assert.NilError(t, err)
	assert.Check(t, changed)
	assert.Equal(t, len(tree.directories), 2)
}

func TestWatchEnds(t *testing.T) {
	parent := t.TempDir()
	for name, end := range map[string]func(top string) error{
		"removed": os.RemoveAll,
		"renamed": func(top string) error { return os.Rename(top, top+"-renamed") },
	} {
		t.Run(name, func(t *testing.T) {
			top := filepath.Join(parent, name)
			assert.NilError(t, os.Mkdir(top, 0o755))
			tree := open(t, top, Options{})
			assert.NilError(t, end(top))
			for range tree.Changes {
			}
			assert.ErrorContains(t, tree.Err(), "it was removed or renamed")
		})
	}
	top := filepath.Join(parent, "grows")
	assert.NilError(t, os.Mkdir(top, 0o755))
	tree := open(t, top, Options{MaxDirectories: 2})
	assert.NilError(t, os.MkdirAll(filepath.Join(top, "a", "b"), 0o755))
	for range tree.Changes {
	}
	assert.ErrorContains(t, tree.Err(), "it has more than 2 directories")
}

func TestOpenErrors(t *testing.T) {
	top := t.TempDir()
	write(t, top, "file")
	assert.NilError(t, os.Mkdir(filepath.Join(top, "a"), 0o755))
	for name, tt := range map[string]struct {
		path, want string
		most       int
	}{
		"missing": {filepath.Join(top, "gone"), "no such file", 0},
		"file":    {filepath.Join(top, "file"), "not a directory", 0},
		"large":   {top, "it has more than 1 directories", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(tt.path, Options{MaxDirectories: tt.most})
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestErrorsArePlain(t *testing.T) { plaintexttest.Check(t, &Error{}) }
