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

// An upgrade replaces the rootfs and the record of an installed plugin and
// keeps everything else in its directory. Its journal is the directory
// <id>/upgrade: it comes into being complete, by one rename, and from then on
// whoever finds it carries the upgrade on:
//
//	<id>/upgrade/rootfs        the new rootfs, until it is in its place
//	<id>/upgrade/config.json   the new record, until it is in its place
//	<id>/upgrade/old-rootfs    the old rootfs, once it is out of the way
//	<id>/upgrade/in-place      the old rootfs can't be moved, and is being deleted
//
// Before that it is a stage: tmp/<id>, or <id>/upgrade-stage where tmp/<id> could
// not be renamed.
//
// The last is how it goes on overlayfs without redirect_dir, which renames no
// directory that a lower layer has:
// https://docs.kernel.org/filesystems/overlayfs.html#renaming-directories
const (
	upgradeName      = "upgrade"
	upgradeStageName = "upgrade-stage"
	oldRootfsName    = "old-rootfs"
	inPlaceName      = "in-place"

	backupName = "rootfs-old" // of the rootfs that docker's manager upgrades
)

func (r *Root) journalRecord(id string) string { return filepath.Join(r.journal(id), recordName) }

func (r *Root) journal(id string) string { return filepath.Join(r.Plugin(id), upgradeName) }

func (r *Root) upgradeStage(id string) string { return filepath.Join(r.Plugin(id), upgradeStageName) }

// CommitUpgrade writes the record and makes the stage replace the installed
// plugin of its id. Once the journal is there a crash leaves the new version,
// which [Root.Recover] completes. An error, at whatever step, leaves the old
// version, whose record is previous; or, if the disk refuses even that, an
// [InterruptedError] and a plugin that the next Recover upgrades.
func (s *Stage) CommitUpgrade(record, previous []byte) error {
	r := s.root
	if err := s.seal(record); err != nil {
		return err
	}
	if err := r.uninterrupted(s.id); err != nil {
		return err
	}
	// What an earlier upgrade left must not be taken for the old rootfs of this.
	if _, err := r.fs.PutAway(r.journal(s.id), r.aside(s.id)); err != nil {
		return err
	}
	err := r.fs.Rename(s.dir, r.journal(s.id))
	if err == nil {
		err = r.advance(s.id)
	}
	if err != nil && r.isInPlace(s.id) {
		err = r.advance(s.id) // there is no way back
	}
	if err != nil {
		if undo := r.retreat(s.id, previous, s.dir); undo != nil {
			r.unsettled.add(s.id, interrupted)
			return &InterruptedError{Err: errors.Join(err, undo)}
		}
		return err
	}
	defer s.end()
	// The upgrade is complete; a journal that can't be deleted holds nothing
	// but the old rootfs, and is garbage.
	if err := r.fs.Tidy(r.journal(s.id)); err != nil {
		return &LeftoverError{Path: r.journal(s.id), Err: err}
	}
	return nil
}

// advance carries an upgrade on, from wherever it is.
func (r *Root) advance(id string) error {
	journal := r.journal(id)
	if exists(filepath.Join(journal, rootfsName)) {
		if err := r.clearRootfs(id); err != nil {
			return err
		}
		if err := r.fs.Rename(filepath.Join(journal, rootfsName), r.Rootfs(id)); err != nil {
			return err
		}
	}
	if exists(filepath.Join(journal, recordName)) {
		return r.fs.Rename(filepath.Join(journal, recordName), r.record(id))
	}
	return nil
}

// clearRootfs takes the old rootfs out of the way: it moves it into the journal,
// or deletes it where the file system can't move it.
func (r *Root) clearRootfs(id string) error {
	old := filepath.Join(r.journal(id), oldRootfsName)
	if !exists(r.Rootfs(id)) || exists(old) {
		return nil
	}
	if r.isInPlace(id) {
		return r.fs.RemoveAll(r.Rootfs(id))
	}
	err := r.fs.Rename(r.Rootfs(id), old)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	// As long as it can be undone, find out what would keep it from being deleted.
	if err := durable.CheckUnmounted(r.Rootfs(id)); err != nil {
		return err
	}
	if err := r.fs.MkdirAll(filepath.Join(r.journal(id), inPlaceName), 0o700); err != nil {
		return err
	}
	return r.fs.RemoveAll(r.Rootfs(id))
}

// restoreBackup undoes an upgrade of docker's manager that was cut off between its
// two renames: the old rootfs is out of the way, no other is in its place, and the
// record is the old one still.
func (r *Root) restoreBackup(id string) error {
	backup := filepath.Join(r.Plugin(id), backupName)
	if exists(r.Rootfs(id)) || exists(r.journal(id)) || !exists(backup) {
		return nil
	}
	return r.fs.Rename(backup, r.Rootfs(id))
}

// isInPlace reports whether the old rootfs is being deleted, or was.
func (r *Root) isInPlace(id string) bool {
	return exists(filepath.Join(r.journal(id), inPlaceName))
}

// uninterrupted refuses to change a plugin of which the next start makes the
// new version: what is changed now would be lost then.
func (r *Root) uninterrupted(id string) error {
	journal := r.journal(id)
	if exists(filepath.Join(journal, rootfsName)) || exists(filepath.Join(journal, recordName)) || r.unsettled.is(id, interrupted) {
		return &InterruptedError{Err: errors.New("an earlier upgrade was not completed")}
	}
	return nil
}

// retreat undoes an upgrade, from wherever it is. Until the journal is taken
// out of its place, by one rename, it is such that advance could carry it on. It
// becomes the stage that it was.
func (r *Root) retreat(id string, previous []byte, stage string) error {
	journal := r.journal(id)
	if !exists(journal) {
		return nil
	}
	if r.isInPlace(id) {
		return errors.New("the old version is deleted, at least in part")
	}
	if newRecord := filepath.Join(journal, recordName); !exists(newRecord) {
		if err := r.fs.Rename(r.record(id), newRecord); err != nil {
			return err
		}
	}
	old, newRootfs := filepath.Join(journal, oldRootfsName), filepath.Join(journal, rootfsName)
	if exists(old) {
		if exists(r.Rootfs(id)) {
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
	// The stage is the caller's to abort.
	err := r.fs.Rename(journal, stage)
	if err != nil && exists(journal) {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// InterruptedError reports an upgrade that could be neither completed nor
// undone. The next Recover completes it. Class System.
type InterruptedError struct{ Err error }

func (e *InterruptedError) Error() string {
	return plaintext.Sprintf("the upgrade is interrupted and will be completed at the next start: %v", e.Err)
}

// Unwrap returns what kept the upgrade from being completed, and undone.
func (e *InterruptedError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *InterruptedError) System() {}
