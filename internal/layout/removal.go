// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"path/filepath"
	"syscall"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// The rename of <id> to <id>-removing, the trash, commits a removal. If the file
// system can't rename the directory, like overlayfs without redirect_dir, the
// rename of its record into the trash commits the removal: a plugin that has trash
// and no record is removed, and is deleted in place.

func (r *Root) trash(id string) string { return r.Plugin(id) + removingSuffix }

// isRemoved reports whether a removal was committed.
func (r *Root) isRemoved(id string) bool {
	return !mayExist(r.Plugin(id)) || mayExist(r.trash(id)) && !mayExist(r.record(id)) && !mayExist(r.journalRecord(id))
}

// Remove deletes an installed plugin. The plugin is removed once its directory is
// renamed. Files that can't be deleted are left to the next sweep and reported as
// [LeftoverError]; files that take long are left to it without an error. After an
// [UnsettledError] the plugin is removed, but may be back after a power cut. After
// any other error it is still installed.
func (r *Root) Remove(id string) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := r.discard(id); err != nil {
		return err
	}
	// The commit point is passed: a crash here leaves trash.
	r.unsettled.settled(id)
	for _, path := range []string{r.Plugin(id), r.trash(id)} {
		if err := r.fs.Tidy(path); err != nil {
			return &LeftoverError{Path: path, Err: err}
		}
		if mayExist(path) {
			break // a sweep deletes the rest
		}
	}
	return nil
}

// discard commits the removal of a plugin durably.
func (r *Root) discard(id string) error {
	if r.isRemoved(id) {
		// An earlier call may have renamed it without syncing.
		return r.fs.SyncDir(r.dir)
	}
	err := r.fs.Rename(r.Plugin(id), r.trash(id))
	if errors.Is(err, syscall.EXDEV) {
		err = r.discardInPlace(id)
	}
	if err == nil {
		return nil
	}
	if undo := r.restore(id); undo != nil && r.isRemoved(id) {
		r.unsettled.add(id, removed)
		return &UnsettledError{Err: errors.Join(err, undo)}
	}
	return err
}

// discardInPlace moves a plugin's records into the trash. The record of an
// interrupted upgrade goes last: after a crash before that, the upgrade is still
// completed.
func (r *Root) discardInPlace(id string) error {
	// The claim keeps sweeps from the trash until the removal is committed.
	claim := id + removingSuffix
	if err := r.stages.begin(claim, byStage); err != nil {
		return err
	}
	defer r.stages.end(claim)
	if err := r.fs.MkdirAll(r.trash(id), 0o700); err != nil {
		return err
	}
	for _, record := range r.recordsOf(id) {
		if !mayExist(record.place) {
			continue
		}
		if err := r.fs.Rename(record.place, record.trash); err != nil {
			return err
		}
	}
	return nil
}

// restore undoes a removal that could not be committed.
func (r *Root) restore(id string) error {
	if !mayExist(r.Plugin(id)) {
		return r.fs.Rename(r.trash(id), r.Plugin(id))
	}
	records := r.recordsOf(id)
	for i := len(records) - 1; i >= 0; i-- {
		if mayExist(records[i].trash) {
			if err := r.fs.Rename(records[i].trash, records[i].place); err != nil {
				return err
			}
		}
	}
	return r.fs.Remove(r.trash(id))
}

// movedRecord is a record that a removal in place moves.
type movedRecord struct{ place, trash string }

func (r *Root) recordsOf(id string) []movedRecord {
	return []movedRecord{
		{r.record(id), filepath.Join(r.trash(id), recordName)},
		{r.journalRecord(id), filepath.Join(r.trash(id), upgradeName+"-"+recordName)},
	}
}

// LeftoverError reports a change that is committed, and files that are left to
// delete.
type LeftoverError struct {
	Path string
	Err  error
}

func (e *LeftoverError) Error() string {
	return plaintext.Sprintf("leave %s to be deleted at the next start: %v", e.Path, e.Err)
}

// Unwrap returns the error of the deletion.
func (e *LeftoverError) Unwrap() error { return e.Err }

// UnsettledError reports a removal that is done, but may not survive a power cut.
// Class System.
type UnsettledError struct{ Err error }

func (e *UnsettledError) Error() string {
	return plaintext.Sprintf("the plugin is removed, but may be back after a power cut: %v", e.Err)
}

// Unwrap returns the errors of the commit and of the undo.
func (e *UnsettledError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *UnsettledError) System() {}
