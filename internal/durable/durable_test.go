// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// operations is each method once, on a directory prepared by prepare, with
// the states that may be found after a failure: untouched or done.
var operations = []struct {
	name string
	do   func(f *FS, dir string) error
	done func(dir string) bool
}{
	{"write", func(f *FS, dir string) error {
		return f.WriteFile(filepath.Join(dir, "file"), []byte("new"), 0o600)
	}, func(dir string) bool { return content(filepath.Join(dir, "file")) == "new" }},
	{"mkdir", func(f *FS, dir string) error {
		return f.MkdirAll(filepath.Join(dir, "a/b/c"), 0o700)
	}, func(dir string) bool { return exists(filepath.Join(dir, "a/b/c")) }},
	{"rename", func(f *FS, dir string) error {
		return f.Rename(filepath.Join(dir, "full"), filepath.Join(dir, "other", "full"))
	}, func(dir string) bool { return exists(filepath.Join(dir, "other/full/file")) }},
	{"remove", func(f *FS, dir string) error {
		return f.Remove(filepath.Join(dir, "file"))
	}, func(dir string) bool { return !exists(filepath.Join(dir, "file")) }},
	{"remove all", func(f *FS, dir string) error {
		return f.RemoveAll(filepath.Join(dir, "full"))
	}, func(dir string) bool { return !exists(filepath.Join(dir, "full")) }},
	{"sync tree", func(f *FS, dir string) error {
		tree, err := f.OpenTree(dir)
		if err != nil {
			return err
		}
		defer tree.Close()
		return tree.Sync()
	}, func(string) bool { return true }},
}

func prepare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o600))
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, "full"), 0o700))
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, "other"), 0o700))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "full/file"), nil, 0o600))
	return dir
}

func content(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestZeroValueAndNilWork(t *testing.T) {
	for _, fs := range []*FS{nil, {}} {
		for _, op := range operations {
			dir := prepare(t)
			assert.NilError(t, op.do(fs, dir), op.name)
			assert.Check(t, op.done(dir), op.name)
			assert.NilError(t, op.do(fs, prepare(t)), op.name)
		}
	}
}

func TestEveryStepCanFailBeforeAndAfter(t *testing.T) {
	lost := errors.New("no reply")
	for _, op := range operations {
		for k := 0; ; k++ {
			dir := prepare(t)
			before := content(filepath.Join(dir, "file"))
			calls, failed := 0, Step{}
			fs := &FS{Fault: func(s Step) error {
				calls++
				if calls-1 != k {
					return nil
				}
				failed = s
				return lost
			}}
			err := op.do(fs, dir)
			if failed.Op == "" {
				assert.NilError(t, err)
				assert.Check(t, k >= 2, "%s has no step that can fail", op.name)
				break
			}
			assert.Check(t, is.ErrorIs(err, lost), "%s step %d", op.name, k)
			assert.Check(t, is.ErrorContains(err, failed.Op), "%s step %d", op.name, k)
			if !op.done(dir) {
				assert.Equal(t, content(filepath.Join(dir, "file")), before, "%s step %d left half", op.name, k)
			}
			// A failed operation can be repeated.
			if op.name != "rename" || !op.done(dir) {
				assert.NilError(t, op.do(nil, dir), "%s again after step %d", op.name, k)
			}
			assert.Check(t, op.done(dir), "%s after step %d", op.name, k)
			assert.Check(t, !exists(filepath.Join(dir, "file.tmp")), "%s step %d", op.name, k)
		}
	}
}

func TestGuardRefusesEachStep(t *testing.T) {
	closed := errors.New("closed")
	for _, op := range operations {
		for k := 0; ; k++ {
			dir := prepare(t)
			entered, left := 0, 0
			fs := &FS{Guard: func() (func(), error) {
				if entered == k {
					return nil, closed
				}
				entered++
				return func() { left++ }, nil
			}}
			err := op.do(fs, dir)
			assert.Equal(t, entered, left, "%s entered and did not leave", op.name)
			if err == nil {
				assert.Check(t, entered > 0, "%s has no step that is guarded", op.name)
				break
			}
			assert.Check(t, is.ErrorIs(err, closed), "%s step %d", op.name, k)
		}
	}
}

func TestSkippedSyncsClaimToHaveHappened(t *testing.T) {
	for _, op := range operations {
		dir := prepare(t)
		var asked []string
		fs := &FS{SkipSync: func(path string) bool {
			asked = append(asked, path)
			return true
		}}
		assert.NilError(t, op.do(fs, dir), op.name)
		assert.Check(t, op.done(dir), op.name)
		assert.Check(t, len(asked) > 0, "%s syncs nothing", op.name)
	}
	var asked []string
	fs := &FS{SkipSync: func(path string) bool {
		asked = append(asked, filepath.Base(path))
		return false
	}}
	dir := prepare(t)
	assert.NilError(t, fs.WriteFile(filepath.Join(dir, "file"), []byte("new"), 0o600))
	assert.DeepEqual(t, asked, []string{"file.tmp", filepath.Base(dir)})
}

func TestMkdirAllOverFile(t *testing.T) {
	dir := prepare(t)
	err := (*FS)(nil).MkdirAll(filepath.Join(dir, "file"), 0o700)
	assert.Check(t, is.ErrorIs(err, os.ErrExist))
	assert.Equal(t, content(filepath.Join(dir, "file")), "old")
}

func TestRemoveAllFollowsNoLink(t *testing.T) {
	dir, outside := prepare(t), prepare(t)
	assert.NilError(t, os.Symlink(outside, filepath.Join(dir, "full", "link")))
	assert.NilError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	var fs *FS
	assert.NilError(t, fs.RemoveAll(filepath.Join(dir, "full")))
	assert.NilError(t, fs.RemoveAll(filepath.Join(dir, "link")))
	assert.Check(t, !exists(filepath.Join(dir, "link")))
	assert.Check(t, exists(filepath.Join(outside, "full/file")))
}

func ExampleFS_WriteFile() {
	dir, err := os.MkdirTemp("", "durable")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	var fs FS
	fmt.Println(fs.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600))
	// Output: <nil>
}
