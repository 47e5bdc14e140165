// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// many makes more files than one guarded step deletes.
func many(t *testing.T) (dir string, count int) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "many")
	assert.NilError(t, os.Mkdir(dir, 0o700))
	count = 3*removedAtOnce + 1
	for i := range count {
		assert.NilError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600))
	}
	return dir, count
}

// Removing a large tree keeps no newer manager waiting: the guard is asked
// again and again, and what it refuses does not happen.
func TestGuardIsAskedDuringLongRemoval(t *testing.T) {
	dir, count := many(t)
	closed := errors.New("taken over")
	entered, inside := 0, false
	fs := &FS{Guard: func() (func(), error) {
		assert.Check(t, !inside, "the guard was not left")
		if entered++; entered > 2 {
			return nil, closed
		}
		inside = true
		return func() { inside = false }, nil
	}}
	assert.Check(t, is.ErrorIs(fs.RemoveAll(dir), closed))
	left, err := os.ReadDir(dir)
	assert.NilError(t, err)
	assert.Check(t, len(left) < count, "nothing was deleted")
	assert.Check(t, len(left) >= count-2*removedAtOnce, "%d of %d are left", len(left), count)
}

func TestRemovalEndsWithItsContext(t *testing.T) {
	dir, _ := many(t)
	ctx, cancel := context.WithCancel(t.Context())
	portions := 0
	fs := &FS{Guard: func() (func(), error) {
		if portions++; portions == 2 {
			cancel()
		}
		return func() {}, nil
	}}
	assert.Check(t, is.ErrorIs(fs.RemoveWithin(ctx, dir), context.Canceled))
	assert.Check(t, exists(dir))
	assert.NilError(t, fs.RemoveWithin(t.Context(), dir))
	assert.Check(t, !exists(dir))
}

func TestPutAway(t *testing.T) {
	hasty := &FS{Patience: -1}
	dir := prepare(t)
	full, aside := filepath.Join(dir, "full"), filepath.Join(dir, "aside")
	left, err := hasty.PutAway(full, aside)
	assert.NilError(t, err)
	assert.Check(t, left && !exists(full))
	assert.Check(t, exists(filepath.Join(aside, "file")))

	var patient *FS
	left, err = patient.PutAway(aside, full)
	assert.NilError(t, err)
	assert.Check(t, !left && !exists(aside) && !exists(full))
	left, err = hasty.PutAway(full, aside)
	assert.NilError(t, err)
	assert.Check(t, !left && !exists(aside))
}

func TestTidy(t *testing.T) {
	dir := prepare(t)
	full := filepath.Join(dir, "full")
	assert.NilError(t, (&FS{Patience: -1}).Tidy(full))
	assert.Check(t, exists(full))
	assert.NilError(t, (*FS)(nil).Tidy(full))
	assert.Check(t, !exists(full))
}
