// SPDX-License-Identifier: Apache-2.0

//go:build unix

package hold

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/dirlock"
)

// owner is an executor that records its Close.
type owner struct{ closed bool }

func (o *owner) Close() error {
	o.closed = true
	return nil
}

func TestAnotherProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	var first owner
	h, err := Take(path, &first)
	assert.NilError(t, err)
	assertLocked(t, path)
	assert.Assert(t, h.HeldBy(&first))
	h.Release(&first)
	assert.Assert(t, !h.HeldBy(&first))
	other, err := dirlock.Lock(path)
	assert.NilError(t, err)
	_, err = Take(path, &first)
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
	assert.NilError(t, other.Close())
}

func TestANewerOwnerTakesOver(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, path string) string{
		"nothing": func(_ *testing.T, path string) string { return path },
		"another name": func(t *testing.T, path string) string {
			link := filepath.Join(t.TempDir(), "link")
			assert.NilError(t, os.Symlink(path, link))
			return link
		},
		"deleted": func(t *testing.T, path string) string {
			assert.NilError(t, os.Remove(path))
			return path
		},
		"made again": func(t *testing.T, path string) string {
			assert.NilError(t, os.Remove(path))
			assert.NilError(t, os.Mkdir(path, 0o700))
			return path
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "d")
			var older, newer owner
			first, err := Take(path, &older)
			assert.NilError(t, err)
			second, err := Take(disturb(t, path), &newer)
			assert.NilError(t, err)
			assert.Assert(t, older.closed)
			assert.Assert(t, !first.HeldBy(&older))
			first.Release(&older)
			assert.Assert(t, second.HeldBy(&newer))
			assertLocked(t, path)
			second.Release(&newer)
			other, err := dirlock.Lock(path)
			assert.NilError(t, err)
			assert.NilError(t, other.Close())
		})
	}
}

func TestRenewLocksWhatIsThereNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	var first owner
	h, err := Take(path, &first)
	assert.NilError(t, err)
	defer h.Release(&first)
	assert.NilError(t, os.Remove(path))
	assert.NilError(t, h.Renew())
	assertLocked(t, path)

	assert.NilError(t, os.Remove(path))
	assert.NilError(t, os.Mkdir(path, 0o700))
	other, err := dirlock.Lock(path)
	assert.NilError(t, err)
	assert.Assert(t, errors.Is(h.Renew(), dirlock.ErrLocked))
	assert.NilError(t, other.Close())
	assert.NilError(t, h.Renew())
	assertLocked(t, path)
}

func assertLocked(t *testing.T, path string) {
	t.Helper()
	_, err := dirlock.Lock(path)
	assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)
}
