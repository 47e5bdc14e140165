// SPDX-License-Identifier: Apache-2.0

// Package durable makes, renames and removes files that must survive a power cut;
// no other package does. When a method returns nil, its change is durable. When it
// returns an error, none, a part or all of the change may have happened.
//
// Tests can make every step fail: see [FS.Fault].
package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/trees"
)

// FS changes files durably. A nil FS and the zero value work without faults.
// It is safe for concurrent use.
type FS struct {
	// Guard, if set, allows or refuses each step. release is called after the
	// step.
	Guard func() (release func(), err error)
	// Fault, if set, is called before each step, with Done false, and after it,
	// with Done true. An error before the step prevents it; an error after it
	// simulates a lost reply.
	Fault func(Step) error
	// Patience is how long a verb waits for the deletion of garbage. Zero means
	// half a second; a negative value means no wait.
	Patience time.Duration
	// SkipSync, if set, skips the sync of the paths for which it returns true. It
	// is for harnesses that prove that they detect a missing sync.
	SkipSync func(path string) bool
}

// Default is copied by each new manager. It is the zero value; test harnesses of
// this module may change it first.
var Default FS

// Step is one change of the file system.
type Step struct {
	Op   string // mkdir, write, sync, rename, remove, chmod, probe, ingest or commit
	Path string
	Done bool
}

// Do runs a change of another package as a step, with Guard and Fault. do must make
// the change durable before it returns nil.
func (f *FS) Do(op, path string, do func() error) error { return f.step(op, path, do) }

// Guarded runs a change with Guard and without Fault.
func (f *FS) Guarded(op, path string, do func() error) error { return f.guarded(op, path, do) }

func (f *FS) step(op, path string, do func() error) error {
	return f.faulty(op, path, func() error { return f.guarded(op, path, do) })
}

// faulty runs a step with Fault; do itself calls Guard.
func (f *FS) faulty(op, path string, do func() error) error {
	if err := f.fault(Step{Op: op, Path: path}); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.fault(Step{Op: op, Path: path, Done: true})
}

func (f *FS) guarded(op, path string, do func() error) error {
	if f == nil || f.Guard == nil {
		return do()
	}
	release, err := f.Guard()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	defer release()
	return do()
}

func (f *FS) fault(s Step) error {
	if f == nil || f.Fault == nil {
		return nil
	}
	if err := f.Fault(s); err != nil {
		return fmt.Errorf("%s %s: %w", s.Op, s.Path, err)
	}
	return nil
}

// Patient returns a context that ends after Patience.
func (f *FS) Patient(ctx context.Context) (context.Context, context.CancelFunc) {
	patience := 500 * time.Millisecond
	if f != nil && f.Patience != 0 {
		patience = f.Patience
	}
	return context.WithTimeout(ctx, patience)
}

// Temporary returns the sibling of path that a crash during WriteFile can leave.
func Temporary(path string) string { return path + ".tmp" }

// WriteFile replaces the content of the file at path by data. A crash leaves the
// old content or the new one, and perhaps [Temporary].
func (f *FS) WriteFile(path string, data []byte, perm os.FileMode) error {
	temporary := Temporary(path)
	err := f.step("write", temporary, func() error { return f.writeSynced(temporary, data, perm) })
	if err == nil {
		err = f.step("rename", path, func() error { return os.Rename(temporary, path) })
	}
	if err != nil {
		// The temporary file is unused; the next write replaces it.
		_ = f.Unlink(temporary)
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Create writes and syncs the file at path. The caller must sync the directory
// before any reader uses the file. A crash leaves any part of it.
func (f *FS) Create(path string, data []byte, perm os.FileMode) error {
	return f.step("write", path, func() error { return f.writeSynced(path, data, perm) })
}

func (f *FS) writeSynced(path string, data []byte, perm os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		_ = file.Close()
		return err
	}
	if err := f.sync(path, file.Sync); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// MkdirAll makes the directory and its missing parents, and syncs the parent of
// each new directory.
func (f *FS) MkdirAll(path string, perm os.FileMode) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "mkdir", Path: path, Err: os.ErrExist}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := f.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	err := f.step("mkdir", path, func() error { return os.Mkdir(path, perm) })
	if err != nil && !os.IsExist(err) {
		return err
	}
	return f.SyncDir(parent)
}

// Rename moves from to to, replacing a file or an empty directory there, and
// syncs both parents.
func (f *FS) Rename(from, to string) error {
	if err := f.step("rename", to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	if err := f.SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return f.SyncDir(filepath.Dir(from))
}

// Remove deletes the file or empty directory at path and syncs its parent. A path
// that does not exist is not an error.
func (f *FS) Remove(path string) error {
	if err := f.Unlink(path); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Unlink deletes the file at path without a sync: after a power cut it may be back.
// A path that does not exist is not an error.
func (f *FS) Unlink(path string) error {
	err := f.step("remove", path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// RemoveAll deletes the tree at path and syncs its parent. It follows no symbolic
// link. If there is a mount at or below path, it deletes nothing and returns
// [MountedError]. Its time is linear in the number of names, at any depth.
func (f *FS) RemoveAll(path string) error { return f.RemoveWithin(context.Background(), path) }

// RemoveWithin is RemoveAll until ctx ends; then it returns the error of ctx. The
// rest can be removed later.
func (f *FS) RemoveWithin(ctx context.Context, path string) error {
	if err := f.DiscardWithin(ctx, path); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Discard is RemoveAll without a sync: after a power cut the tree may be back.
func (f *FS) Discard(path string) error { return f.DiscardWithin(context.Background(), path) }

// DiscardWithin is RemoveWithin without a sync.
func (f *FS) DiscardWithin(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := CheckUnmounted(path); err != nil {
		return err
	}
	return f.faulty("remove", path, func() error { return f.removeTree(ctx, path) })
}

// removedAtOnce is the number of names deleted in one guarded step, which takes some
// milliseconds. Between two steps another Root can take over.
const removedAtOnce = 1000

func (f *FS) removeTree(ctx context.Context, path string) error {
	removal, err := trees.Remove(path)
	if err != nil {
		return err
	}
	defer removal.Close()
	for done := false; !done; {
		err := f.guarded("remove", path, func() (err error) {
			done, err = removal.Run(ctx, removedAtOnce)
			return err
		})
		if err != nil {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}

// Tidy is RemoveAll of garbage, within Patience. A sweep deletes the rest.
func (f *FS) Tidy(path string) error {
	ctx, cancel := f.Patient(context.Background())
	defer cancel()
	err := f.RemoveWithin(ctx, path)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// PutAway deletes the tree at path within Patience, and renames the rest to aside,
// which must not exist and must be on the same file system. It reports whether it
// renamed a rest. Neither change is synced.
func (f *FS) PutAway(path, aside string) (left bool, err error) {
	ctx, cancel := f.Patient(context.Background())
	defer cancel()
	err = f.DiscardWithin(ctx, path)
	if !errors.Is(err, context.DeadlineExceeded) {
		return false, err
	}
	err = f.step("rename", aside, func() error { return os.Rename(path, aside) })
	if errors.Is(err, syscall.EXDEV) {
		return false, f.Discard(path) // the file system can't rename it
	}
	return true, err
}

// CheckUnmounted returns a [MountedError] if there is a mount at or below path.
func CheckUnmounted(path string) error {
	mounts, err := MountsBelow(path)
	if err == nil && len(mounts) > 0 {
		err = &MountedError{Path: path, Mounts: mounts}
	}
	return err
}

// MountsBelow returns the mount points at or below path.
func MountsBelow(path string) ([]string, error) {
	mounts, err := mountsBelow(path)
	if err != nil {
		return nil, fmt.Errorf("list mounts below %s: %w", path, err)
	}
	return mounts, nil
}

// SyncDir makes the names in a directory durable.
func (f *FS) SyncDir(path string) error {
	return f.step("sync", path, func() error {
		return f.sync(path, func() error { return syncDir(path) })
	})
}

func (f *FS) sync(path string, sync func() error) error {
	if f != nil && f.SkipSync != nil && f.SkipSync(path) {
		return nil
	}
	return sync()
}

// MountedError refuses to delete a tree with mounts. Class Conflict.
type MountedError struct {
	Path   string
	Mounts []string
}

func (e *MountedError) Error() string {
	const enough = 3
	if more := len(e.Mounts) - enough; more > 0 {
		return plaintext.Sprintf("%s is not deleted: %.300q and %d more are mounted below it", e.Path, e.Mounts[:enough], more)
	}
	return plaintext.Sprintf("%s is not deleted: %.300q is mounted below it", e.Path, e.Mounts)
}

// Conflict marks the error's class.
func (e *MountedError) Conflict() {}
