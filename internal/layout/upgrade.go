// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// An upgrade replaces the rootfs and the record of an installed plugin and keeps
// the other files in its directory. Its journal is the directory <id>/upgrade. One
// rename creates the journal complete; after it every reader of the journal
// continues the upgrade:
//
//	<id>/upgrade/rootfs        the new rootfs, before its rename into place
//	<id>/upgrade/config.json   the new record, before its rename into place
//	<id>/upgrade/old-rootfs    the old rootfs, after its rename
//	<id>/upgrade/in-place      marks an old rootfs that is deleted in place
//
// in-place is for overlayfs without redirect_dir, which can't rename a directory
// of a lower layer:
// https://docs.kernel.org/filesystems/overlayfs.html#renaming-directories
//
// Before the first rename the upgrade is a stage: tmp/<id>, or <id>/upgrade-stage
// if tmp/<id> can't be renamed into the plugin.
const (
	upgradeName      = "upgrade"
	upgradeStageName = "upgrade-stage"
	oldRootfsName    = "old-rootfs"
	inPlaceName      = "in-place"
)

func (r *Root) journalRecord(id string) string { return filepath.Join(r.journal(id), recordName) }

func (r *Root) journal(id string) string { return filepath.Join(r.Plugin(id), upgradeName) }

func (r *Root) upgradeStage(id string) string { return filepath.Join(r.Plugin(id), upgradeStageName) }

// CommitUpgrade writes the record and replaces the installed plugin by the stage.
// Once the journal exists, a crash leaves the new version, which [Root.Recover]
// completes. After an error at any step the old version is back, with the record
// previous. If the disk refuses that too, the error is [InterruptedError], and the
// next Recover completes the upgrade.
func (s *Stage) CommitUpgrade(record, previous []byte) error {
	r := s.root
	if err := s.seal(record); err != nil {
		return err
	}
	if err := r.uninterrupted(s.id); err != nil {
		return err
	}
	// The garbage of an earlier upgrade must not mix with this journal.
	if _, err := r.fs.PutAway(r.journal(s.id), r.aside(s.id)); err != nil {
		return err
	}
	err := r.fs.Rename(s.dir, r.journal(s.id))
	if err == nil {
		err = r.advance(s.id)
	}
	if err != nil && r.isInPlace(s.id) {
		err = r.advance(s.id) // the old rootfs is gone: only the new version is possible
	}
	if err != nil {
		if undo := r.retreat(s.id, previous, s.dir); undo != nil {
			r.unsettled.add(s.id, interrupted)
			return &InterruptedError{Err: errors.Join(err, undo)}
		}
		return err
	}
	defer s.end()
	// The upgrade is complete. The journal holds only the old rootfs and is
	// garbage.
	if err := r.fs.Tidy(r.journal(s.id)); err != nil {
		return &LeftoverError{Path: r.journal(s.id), Err: err}
	}
	return nil
}

// advance completes an upgrade from any step.
func (r *Root) advance(id string) error {
	journal := r.journal(id)
	if mayExist(filepath.Join(journal, rootfsName)) {
		if err := r.clearRootfs(id); err != nil {
			return err
		}
		if err := r.fs.Rename(filepath.Join(journal, rootfsName), r.Rootfs(id)); err != nil {
			return err
		}
	}
	if mayExist(filepath.Join(journal, recordName)) {
		return r.fs.Rename(filepath.Join(journal, recordName), r.record(id))
	}
	return nil
}

// clearRootfs moves the old rootfs into the journal, or deletes it if the file
// system can't move it.
func (r *Root) clearRootfs(id string) error {
	old := filepath.Join(r.journal(id), oldRootfsName)
	if !mayExist(r.Rootfs(id)) || mayExist(old) {
		return nil
	}
	if r.isInPlace(id) {
		return r.fs.RemoveAll(r.Rootfs(id))
	}
	err := r.fs.Rename(r.Rootfs(id), old)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	// Check for mounts, which prevent the deletion, while the upgrade can still be
	// undone.
	if err := durable.CheckUnmounted(r.Rootfs(id)); err != nil {
		return err
	}
	if err := r.fs.MkdirAll(filepath.Join(r.journal(id), inPlaceName), 0o700); err != nil {
		return err
	}
	return r.fs.RemoveAll(r.Rootfs(id))
}

// isInPlace reports whether the deletion of the old rootfs in place has begun.
func (r *Root) isInPlace(id string) bool {
	return mayExist(filepath.Join(r.journal(id), inPlaceName))
}

// uninterrupted refuses to change a plugin with an interrupted upgrade: the next
// start completes the upgrade and would discard the change.
func (r *Root) uninterrupted(id string) error {
	journal := r.journal(id)
	if mayExist(filepath.Join(journal, rootfsName)) || mayExist(filepath.Join(journal, recordName)) || r.unsettled.is(id, interrupted) {
		return &InterruptedError{Err: errors.New("an earlier upgrade was not completed")}
	}
	return nil
}

// retreat undoes an upgrade from any step. Its last rename turns the journal back
// into the stage; a crash before that leaves a journal that advance can complete.
func (r *Root) retreat(id string, previous []byte, stage string) error {
	journal := r.journal(id)
	if !mayExist(journal) {
		return nil
	}
	if r.isInPlace(id) {
		return errors.New("the old version is deleted, at least in part")
	}
	if newRecord := filepath.Join(journal, recordName); !mayExist(newRecord) {
		if err := r.fs.Rename(r.record(id), newRecord); err != nil {
			return err
		}
	}
	old, newRootfs := filepath.Join(journal, oldRootfsName), filepath.Join(journal, rootfsName)
	if mayExist(old) {
		if mayExist(r.Rootfs(id)) {
			if err := r.fs.Rename(r.Rootfs(id), newRootfs); err != nil {
				return err
			}
		}
		if err := r.fs.Rename(old, r.Rootfs(id)); err != nil {
			return err
		}
	}
	if err := r.fs.WriteFile(r.record(id), previous, 0o600); err != nil {
		return err
	}
	// The caller aborts the stage.
	err := r.fs.Rename(journal, stage)
	if err != nil && mayExist(journal) {
		return err
	}
	return nil
}

func mayExist(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// InterruptedError reports an upgrade that could be neither completed nor
// undone. The next Recover completes it. Class System.
type InterruptedError struct{ Err error }

func (e *InterruptedError) Error() string {
	return plaintext.Sprintf("the upgrade is interrupted and will be completed at the next start: %v", e.Err)
}

// Unwrap returns the errors of the upgrade and of the undo.
func (e *InterruptedError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *InterruptedError) System() {}
