// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

var errDisk = errors.New("disk error")

// failing makes the steps of files fail that chosen says, by their number,
// and returns how many there were.
func failing(files *durable.FS, chosen func(k int) bool) (calls *int) {
	calls = new(int)
	files.Fault = func(durable.Step) error {
		*calls++
		if chosen(*calls - 1) {
			return errDisk
		}
		return nil
	}
	return calls
}

// TestOneFaultLeavesWhatTheErrorSays fails one step, before and after it happens.
// After an error the state is the old one, also without a restart.
func TestOneFaultLeavesWhatTheErrorSays(t *testing.T) {
	operations := []struct {
		name  string
		do    func(r *Root) error
		after string
	}{
		{"save", func(r *Root) error { return r.SaveRecord(id, []byte("new")) }, "new"},
		{"remove", func(r *Root) error { return r.Remove(id) }, ""},
	}
	for _, op := range operations {
		for k, reached := 0, true; reached; k++ {
			dir := t.TempDir()
			files := &durable.FS{}
			r := open(t, dir, files)
			assert.NilError(t, install(r, "old"))
			calls := failing(files, func(call int) bool { return call == k })
			err := op.do(r)
			reached = *calls > k
			files.Fault = nil
			want := op.after
			var leftover *LeftoverError
			if err != nil && !errors.As(err, &leftover) {
				assert.Check(t, is.ErrorIs(err, errDisk), "%s at step %d", op.name, k)
				want = "old"
			}
			record, _ := os.ReadFile(r.record(id))
			assert.Equal(t, string(record), want, "%s at step %d: %v", op.name, k, err)
			assert.Equal(t, recovered(t, dir), want, "%s at step %d: %v", op.name, k, err)
			if want == "old" {
				assert.NilError(t, op.do(open(t, dir, nil)), "%s again after step %d", op.name, k)
			}
		}
	}
}

func TestRemoveThatCouldNotBePutBackIsRepeated(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	r := open(t, dir, files)
	assert.NilError(t, install(r, "old"))
	failing(files, func(call int) bool { return call > 0 }) // the rename happens, and then nothing
	assert.Check(t, is.ErrorIs(r.Remove(id), errDisk))
	assert.Check(t, !mayExist(r.Plugin(id)))
	assert.Check(t, is.ErrorIs(r.Remove(id), errDisk), "it is not known to survive a power cut yet")
	files.Fault = nil
	assert.NilError(t, r.Remove(id))
	assert.Equal(t, recovered(t, dir), "")
}

func TestLeftoverOfUpgradeIsNotTakenForItsSuccessors(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	r := open(t, dir, files)
	assert.NilError(t, install(r, "old"))
	files.Fault = func(s durable.Step) error {
		if s.Op == "remove" && s.Path == r.journal(id) {
			return errDisk
		}
		return nil
	}
	var leftover *LeftoverError
	assert.Assert(t, errors.As(upgrade(r, "second"), &leftover))
	assert.Equal(t, leftover.Path, r.journal(id))
	assert.Check(t, is.ErrorIs(upgrade(r, "third"), errDisk), "the leftover is in the way")
	count, _, err := r.Garbage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, count, 1, "the leftover is garbage")

	files.Fault = func(s durable.Step) error {
		if s.Op == "rename" && s.Path == r.journal(id) && s.Done {
			return errDisk
		}
		return nil
	}
	assert.Check(t, is.ErrorIs(upgrade(r, "third"), errDisk))
	files.Fault = nil
	assert.Equal(t, recovered(t, dir), "second")
}

// TestSweepDuringRemoval removes a plugin while a sweep deletes the leftovers of an
// upgrade in its directory.
func TestSweepDuringRemoval(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	r := open(t, dir, files)
	assert.NilError(t, install(r, "old"))
	assert.NilError(t, os.MkdirAll(filepath.Join(r.journal(id), "rest"), 0o700))
	removed := false
	files.Fault = func(s durable.Step) error {
		if s.Op == "rename" && filepath.Dir(s.Path) == r.tmp() && !s.Done && !removed {
			removed = true
			return r.Remove(id)
		}
		return nil
	}
	assert.NilError(t, r.SweepGarbage(t.Context()))
	assert.Check(t, removed)
	assert.Equal(t, recovered(t, dir), "")
}

func TestInterruptedUpgradeIsCompletedBeforeAnythingElse(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	r := open(t, dir, files)
	assert.NilError(t, install(r, "old"))
	// The journal is there, and from then on nothing works.
	journalled := false
	files.Fault = func(s durable.Step) error {
		journalled = journalled || s.Op == "rename" && s.Path == r.journal(id) && s.Done
		if journalled {
			return errDisk
		}
		return nil
	}
	var interrupted *InterruptedError
	assert.Assert(t, errors.As(upgrade(r, "new"), &interrupted))
	files.Fault = nil
	assert.Assert(t, errors.As(r.SaveRecord(id, []byte("lost at the next start")), &interrupted))
	assert.Assert(t, errors.As(upgrade(r, "newer"), &interrupted))
	assert.NilError(t, r.SweepGarbage(t.Context()), "the sweep deleted files that the upgrade needs")

	// A start that can't complete it does not take the plugin for whole.
	files.Fault = func(durable.Step) error { return errDisk }
	found, err := r.Recover()
	assert.NilError(t, err)
	assert.Equal(t, len(found), 1)
	assert.Assert(t, errors.As(found[0].Err, &interrupted), "%v", found[0].Err)
	files.Fault = nil
	assert.Equal(t, recovered(t, dir), "new")
}

func TestRecoverThatCannotListKnowsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	r := open(t, dir, nil)
	assert.NilError(t, os.RemoveAll(dir))
	_, err := r.Recover()
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.Check(t, is.ErrorIs(r.Sweep(t.Context()), os.ErrNotExist))
}

func TestSweepDeletesRecordThatWasNotPutIntoPlace(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	assert.NilError(t, install(r, "old"))
	assert.NilError(t, os.WriteFile(durable.Temporary(r.record(id)), []byte("ne"), 0o600))
	assert.Equal(t, recovered(t, dir), "old")
}

// TestTakeoverWaitsForStep opens a newer Root while a step is in progress. The newer
// Root finds the step done, and the older Root makes no further step.
func TestTakeoverWaitsForStep(t *testing.T) {
	dir := t.TempDir()
	files := &durable.FS{}
	older := open(t, dir, files)
	assert.NilError(t, install(older, "old"))

	leave, err := older.lock.enter()
	assert.NilError(t, err)
	var newer *Root
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		newer, err = Open(dir, nil)
	}()
	assert.NilError(t, os.WriteFile(older.record(id), []byte("step"), 0o600))
	select {
	case <-opened:
		t.Error("a takeover came between the beginning and the end of a step")
	default:
	}
	leave()
	<-opened
	assert.NilError(t, err)
	defer newer.Close()
	found, err := newer.Recover()
	assert.NilError(t, err)
	assert.Equal(t, string(found[0].Record), "step")

	var fenced *FencedError
	assert.Assert(t, errors.As(files.RemoveAll(older.Plugin(id)), &fenced))
	assert.Check(t, mayExist(newer.Plugin(id)))
}
