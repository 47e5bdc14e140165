// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/continuity/fs"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// An upgrade by docker's manager has no journal. A crash leaves the result of one
// of these steps (upgradePlugin in
// https://github.com/moby/moby/blob/v28.5.2/plugin/manager_linux.go):
//
//  1. rootfs becomes rootfs-old
//  2. tmp/<random> becomes rootfs
//  3. the new record replaces the old one, by way of .tmp-config.json<random>
//  4. rootfs-old is deleted
//
// When one of the first three fails, docker deletes rootfs and renames rootfs-old
// back. After a crash between 1 and 2, the backup goes back. After a crash between
// 2 and 4, both exist, and the caller must find out which of them the record
// describes: before 3 the upgrade is not committed; after 3 the backup is garbage,
// possibly deleted in part.
//
// A backup that this package deletes gets spentMode first. A crash in the middle of
// its deletion then leaves garbage, and not a second rootfs to choose from.
const (
	backupName             = "rootfs-old"
	spentMode              = os.ModeDir | os.ModeSticky | 0o700
	dockerTemporaryPattern = ".tmp-" + recordName + "*"
)

// Backup returns the directory in which docker's manager keeps the old rootfs
// during an upgrade.
func (r *Root) Backup(id string) string { return filepath.Join(r.Plugin(id), backupName) }

// recoverBackup puts the old rootfs back if the plugin has no other.
func (r *Root) recoverBackup(id string) error {
	if mayExist(r.Rootfs(id)) || mayExist(r.journal(id)) || !r.hasBackup(id) {
		return nil
	}
	err := r.moveBack(id)
	if leftover := (*LeftoverError)(nil); errors.As(err, &leftover) {
		return nil // the sweep deletes it, or reports why not
	}
	return err
}

// hasBackup reports whether a plugin has a backup that is not garbage.
func (r *Root) hasBackup(id string) bool { return mayExist(r.Backup(id)) && !r.isSpent(id) }

// isSpent reports whether the backup of a plugin is garbage.
func (r *Root) isSpent(id string) bool {
	info, err := os.Lstat(r.Backup(id))
	return err == nil && info.Mode() == spentMode
}

// RestoreBackup undoes an upgrade by docker's manager that was not committed. After
// a crash it can be called again. After a [LeftoverError] the old rootfs is restored.
// After a [BackupError] it is restored as a copy, and the next start restores it again:
// what the plugin wrote until then would be lost.
func (r *Root) RestoreBackup(id string) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := r.fs.RemoveAll(r.Rootfs(id)); err != nil {
		return err
	}
	return r.moveBack(id)
}

// moveBack makes the backup the rootfs. On overlayfs without redirect_dir a copy of it
// becomes the rootfs, because a directory of a lower layer can't be renamed.
func (r *Root) moveBack(id string) error {
	err := r.fs.Rename(r.Backup(id), r.Rootfs(id))
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	stage := r.upgradeStage(id) // garbage after a crash
	if err := r.fs.RemoveAll(stage); err != nil {
		return err
	}
	if err := r.fs.MkdirAll(stage, 0o700); err != nil {
		return err
	}
	copied := filepath.Join(stage, rootfsName)
	if err := r.copyBackup(id, stage, copied); err != nil {
		return fmt.Errorf("copy %s: %w", r.Backup(id), err)
	}
	if err := r.fs.Rename(copied, r.Rootfs(id)); err != nil {
		return err
	}
	// The backup is complete until it is spent: after a crash the copy is made again.
	if err := r.spendBackup(id); err != nil {
		// The next start restores it again, so the plugin must not run and write now.
		return &BackupError{Rootfs: r.Rootfs(id), Backup: r.Backup(id), Err: err}
	}
	if err := errors.Join(r.fs.Tidy(r.Backup(id)), r.fs.Tidy(stage)); err != nil {
		return &LeftoverError{Path: r.Backup(id), Err: err}
	}
	return nil
}

func (r *Root) copyBackup(id, stage, copied string) error {
	tree, err := r.fs.OpenTree(stage)
	if err != nil {
		return err
	}
	defer tree.Close()
	copying := func() error { return fs.CopyDir(copied, r.Backup(id)) }
	if err := r.fs.Guarded("copy", copied, copying); err != nil {
		return err
	}
	return tree.SyncAll()
}

// DiscardBackup deletes the backup of an upgrade that docker's manager committed,
// within Patience. A sweep deletes the rest. After an error the backup is complete, or
// garbage for the next sweep.
func (r *Root) DiscardBackup(id string) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := r.spendBackup(id); err != nil {
		return err
	}
	return r.fs.Tidy(r.Backup(id))
}

// spendBackup makes a backup garbage, also for a start after a power cut.
func (r *Root) spendBackup(id string) error {
	backup := r.Backup(id)
	if err := r.fs.Do("chmod", backup, func() error { return os.Chmod(backup, spentMode) }); err != nil {
		return err
	}
	return r.fs.SyncDir(backup)
}

// PrecedesBackup reports whether the record of a plugin is older than the renames
// of its backup and its rootfs, by their change times. The record of a committed
// upgrade is newer.
func (r *Root) PrecedesBackup(id string) (bool, error) {
	record, err := changed(r.record(id))
	if err != nil {
		return false, err
	}
	for _, moved := range []string{r.Rootfs(id), r.Backup(id)} {
		at, err := changed(moved)
		if err != nil {
			return false, err
		}
		if record >= at {
			return false, nil
		}
	}
	return true, nil
}

// IsBackupIdentical reports whether the rootfs of a plugin has the content of its
// backup, as after a crash that followed the restoring of a copy.
func (r *Root) IsBackupIdentical(ctx context.Context, id string) (bool, error) {
	return identical(ctx, r.Rootfs(id), r.Backup(id))
}

// Comparison is the result of [Root.CompareRootfs].
type Comparison struct {
	// Rootfs and Backup count the files of the tree that are missing from or differ in
	// the rootfs of a plugin, and in its backup.
	Rootfs, Backup int
	// BackupAdds reports that the backup has content that the tree lacks.
	BackupAdds bool
}

// CompareRootfs compares a tree with the rootfs of a plugin and with its backup.
func (r *Root) CompareRootfs(ctx context.Context, tree, id string) (c Comparison, err error) {
	var rootfsErr, backupErr, addsErr error
	c.Rootfs, rootfsErr = differences(ctx, tree, r.Rootfs(id))
	c.Backup, backupErr = differences(ctx, tree, r.Backup(id))
	c.BackupAdds, addsErr = adds(ctx, r.Backup(id), tree)
	return c, errors.Join(rootfsErr, backupErr, addsErr)
}

// sweepDockerTemporaries deletes temporary records that docker's manager did not
// rename into place.
func (r *Root) sweepDockerTemporaries(id string) error {
	left, err := filepath.Glob(filepath.Join(r.Plugin(id), dockerTemporaryPattern))
	problems := []error{err}
	for _, path := range left {
		problems = append(problems, r.fs.Unlink(path))
	}
	return errors.Join(problems...)
}

// BackupError reports a plugin with a rootfs and a backup if either can belong to
// its record. Neither is changed. Class System.
type BackupError struct {
	Rootfs, Backup string
	Err            error // why the comparison failed; can be nil
}

func (e *BackupError) Error() string {
	why := ""
	if e.Err != nil {
		why = ": " + e.Err.Error()
	}
	return plaintext.Sprintf("docker's upgrade was interrupted, and the version of the record is unknown%s; replace %s by %s to restore the old version, or delete the latter to keep the new one, then start again",
		why, e.Rootfs, e.Backup)
}

// Unwrap returns the error of the comparison.
func (e *BackupError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *BackupError) System() {}
