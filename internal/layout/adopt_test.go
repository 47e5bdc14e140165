// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

// putOld makes the directory of a plugin without a record.
func putOld(t *testing.T, dir, name string) {
	t.Helper()
	assert.NilError(t, os.MkdirAll(filepath.Join(dir, name, rootfsName), 0o755))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, name, rootfsName, "entrypoint"), nil, 0o755))
}

// adopt adopts a directory as plugin id, and takes a failed commit back.
func adopt(r *Root, name, record string) (commit, undo error) {
	a, err := r.Adopt(name, id)
	if err != nil {
		return err, nil
	}
	if err := a.Commit([]byte(record)); err != nil {
		return err, a.TakeBack()
	}
	return nil, nil
}

// oldNames are the directories of an adoption in place, and of one that moves.
var oldNames = []string{id, "word"}

// assertOld checks that a directory is as before its adoption.
func assertOld(t *testing.T, dir, name, why string) {
	t.Helper()
	assert.Check(t, mayExist(filepath.Join(dir, name, rootfsName)), why)
	assert.Check(t, !mayExist(filepath.Join(dir, name, recordName)), why)
	assert.Check(t, name == id || !mayExist(filepath.Join(dir, id)), why)
}

// TestAdoptionThatFails fails one step, before and after it happens. After the error
// everything is as before, and the next adoption succeeds.
func TestAdoptionThatFails(t *testing.T) {
	for _, name := range oldNames {
		for k, reached := 0, true; reached; k++ {
			dir, files := t.TempDir(), &durable.FS{}
			r := open(t, dir, files)
			putOld(t, dir, name)
			calls := failing(files, func(call int) bool { return call == k })
			err, undo := adopt(r, name, "record")
			reached = *calls > k
			files.Fault = nil
			assert.NilError(t, undo, "%s, step %d", name, k)
			if err != nil {
				assert.Check(t, is.ErrorIs(err, errDisk), "%s, step %d", name, k)
				assertOld(t, dir, name, err.Error())
				err, _ = adopt(r, name, "record")
			}
			assert.NilError(t, err, "%s, step %d", name, k)
			assert.Equal(t, recovered(t, dir), "record", "%s, step %d", name, k)
			assert.Check(t, mayExist(filepath.Join(dir, id, rootfsName)))
			assert.Check(t, name == id || !mayExist(filepath.Join(dir, name)))
		}
	}
}

// TestAdoptionThatCanNotBeUndone fails all steps from one on. The blobs of a record
// that is left are kept, and a sweep undoes the adoption, or the next adoption does.
func TestAdoptionThatCanNotBeUndone(t *testing.T) {
	for _, name := range oldNames {
		for _, again := range []bool{false, true} {
			unsettled := 0
			for k, reached := 0, true; reached; k++ {
				dir, files := t.TempDir(), &durable.FS{}
				r := open(t, dir, files)
				putOld(t, dir, name)
				calls := failing(files, func(call int) bool { return call >= k })
				err, undo := adopt(r, name, "record")
				reached = *calls > k
				if undo != nil {
					unsettled++
					assert.Check(t, r.SweepGarbage(t.Context()) != nil, "%s, step %d: the disk still fails", name, k)
				}
				files.Fault = nil
				records, recordsErr := r.UnsettledRecords()
				assert.NilError(t, recordsErr)
				assert.Equal(t, len(records) > 0, err != nil && mayExist(r.record(id)), "%s, step %d", name, k)
				if err != nil && !again {
					assert.NilError(t, r.SweepGarbage(t.Context()), "%s, step %d", name, k)
					assertOld(t, dir, name, "after the sweep")
				}
				if err != nil {
					err, _ = adopt(r, name, "record")
				}
				assert.NilError(t, err, "%s, step %d", name, k)
				assert.NilError(t, r.SweepGarbage(t.Context()))
				assert.Equal(t, recovered(t, dir), "record", "%s, step %d", name, k)
			}
			assert.Check(t, unsettled > 0, "each undo succeeded")
		}
	}
}

func TestAdoptionsRefused(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	for _, name := range []string{storageName, tmpName, stagesName, id + removingSuffix} {
		_, err := r.Adopt(name, id)
		assert.Check(t, is.ErrorIs(err, os.ErrInvalid), name)
	}
	putOld(t, dir, "word")
	first, err := r.Adopt("word", id)
	assert.NilError(t, err)
	_, err = r.Adopt("word", id)
	assert.Check(t, is.ErrorIs(err, os.ErrExist), "it is in progress")
	assert.NilError(t, first.TakeBack())
	assertOld(t, dir, "word", "nothing was committed")

	assert.NilError(t, os.RemoveAll(filepath.Join(dir, "word")))
	assert.NilError(t, install(r, "other"))
	for _, name := range oldNames {
		_, err = r.Adopt(name, id)
		assert.Check(t, is.ErrorIs(err, os.ErrExist), name)
	}
	assert.Equal(t, recovered(t, dir), "other")
}

// A file in the place of the record is shown before the commit, and a commit that is
// taken back after it succeeded leaves the directory as before.
func TestAdoptionsLeftover(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	putOld(t, dir, "word")
	a, err := r.Adopt("word", id)
	assert.NilError(t, err)
	left, err := a.Leftover()
	assert.NilError(t, err)
	assert.Check(t, left == nil)
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "word", recordName), []byte("left"), 0o600))
	left, err = a.Leftover()
	assert.NilError(t, err)
	assert.Equal(t, string(left), "left")
	assert.Equal(t, a.Rootfs(), filepath.Join(dir, "word", rootfsName))
	assert.NilError(t, a.Commit([]byte("record")))
	assert.NilError(t, a.TakeBack())
	assertOld(t, dir, "word", "the commit was taken back")
}
