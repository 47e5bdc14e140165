package layout

import (
	"errors"
	"path/filepath"
	"syscall"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// A removal is committed by the rename of <id> to <id>-removing, which is trash
// then. Where the file system can't rename the directory, as overlayfs without
// redirect_dir, it is committed by the rename of its record into the trash: a
// plugin without a record beside its trash is removed, and deleted in its place.

func (r *Root) trash(id string) string { return r.Plugin(id) + removingSuffix }

// isRemoved reports whether a removal was committed.
func (r *Root) isRemoved(id string) bool {
	return !exists(r.Plugin(id)) || exists(r.trash(id)) && !exists(r.record(id)) && !exists(r.journalRecord(id))
}

// Remove deletes an installed plugin. Once its directory is renamed it is gone:
// what can't be deleted is left to the next sweep and reported as
// [LeftoverError], and what takes long is left to it without an error. After an
// [UnsettledError] it is gone as well, but may be back after a power cut. After
// any other error the plugin is still there.
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
		if exists(path) {
			break // it takes long
		}
	}
	return nil
}

// discard makes trash of an installed plugin, for good.
func (r *Root) discard(id string) error {
	if r.isRemoved(id) {
		// An earlier call came as far as this, and could not say so.
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

// discardInPlace takes a plugin's record away. That of an interrupted upgrade
// goes last: what a crash leaves until then is still upgraded.
func (r *Root) discardInPlace(id string) error {
	// Until the plugin is removed its trash is none that a sweep may delete.
	claim := id + removingSuffix
	if err := r.stages.begin(claim, false); err != nil {
		return err
	}
	defer r.stages.end(claim)
	if err := r.fs.MkdirAll(r.trash(id), 0o700); err != nil {
		return err
	}
	for _, record := range r.recordsOf(id) {
		if !exists(record.place) {
			continue
		}
		if err := r.fs.Rename(record.place, record.trash); err != nil {
			return err
		}
	}
	return nil
}

// restore puts a plugin back whose removal could not be committed.
func (r *Root) restore(id string) error {
	if !exists(r.Plugin(id)) {
		return r.fs.Rename(r.trash(id), r.Plugin(id))
	}
	records := r.recordsOf(id)
	for i := len(records) - 1; i >= 0; i-- {
		if exists(records[i].trash) {
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

// LeftoverError reports a removal that happened, and what is left to delete.
type LeftoverError struct {
	Path string
	Err  error
}

func (e *LeftoverError) Error() string {
	return plaintext.Sprintf("leave %s to be deleted at the next start: %v", e.Path, e.Err)
}

// Unwrap returns what kept the rest from being deleted.
func (e *LeftoverError) Unwrap() error { return e.Err }

// UnsettledError reports a removal that happened, but is not known to survive a
// power cut. Class System.
type UnsettledError struct{ Err error }

func (e *UnsettledError) Error() string {
	return plaintext.Sprintf("the plugin is removed, but may be back after a power cut: %v", e.Err)
}

// Unwrap returns what kept the removal from being committed, and undone.
func (e *UnsettledError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *UnsettledError) System() {}
