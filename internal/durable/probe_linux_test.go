// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

func TestCanMove(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	dir, files := t.TempDir(), &FS{}
	mount := func(name string, flags uintptr, options string) string {
		path := filepath.Join(dir, name)
		assert.NilError(t, os.Mkdir(path, 0o700))
		assert.NilError(t, unix.Mount("none", path, "tmpfs", flags, options))
		t.Cleanup(func() { assert.Check(t, unix.Unmount(path, 0)) })
		return path
	}
	plain := filepath.Join(dir, "plain")
	assert.NilError(t, os.Mkdir(plain, 0o700))
	other := mount("other", 0, "")
	full := mount("full", 0, "nr_inodes=1")
	readOnly := mount("read-only", unix.MS_RDONLY, "")
	for _, test := range []struct {
		name, from, to string
		movable        bool
		err            error
	}{
		{"within a file system", dir, plain, true, nil},
		{"within a directory", plain, plain, true, nil},
		{"between file systems", other, plain, false, nil},
		{"back", plain, other, false, nil},
		{"full", full, full, true, nil},
		{"read-only", readOnly, readOnly, true, unix.EROFS},
		{"missing", filepath.Join(dir, "missing"), plain, true, os.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			movable, err := files.CanMove(test.from, test.to)
			assert.Check(t, errors.Is(err, test.err), "%v", err)
			assert.Equal(t, movable, test.movable)
			for _, where := range []string{test.from, test.to} {
				left, err := os.ReadDir(where)
				assert.Check(t, err == nil || errors.Is(err, os.ErrNotExist))
				for _, entry := range left {
					assert.Check(t, entry.IsDir(), "%s is left", entry.Name())
				}
			}
		})
	}

	// Leftovers of a crash do no harm, nor do foreign files of that name.
	assert.NilError(t, os.Symlink("/dev/null", filepath.Join(plain, probeName)))
	movable, err := files.CanMove(plain, dir)
	assert.NilError(t, err)
	assert.Check(t, movable)
	broken := errors.New("broken")
	files.Fault = func(Step) error { return broken }
	_, err = files.CanMove(plain, dir)
	assert.Check(t, is.ErrorIs(err, broken))
}
