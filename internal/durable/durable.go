// Package durable is the only place that makes, renames and removes what must
// survive a power cut. A method that returned nil has reached the disk; one
// that returned an error may have done nothing, or all of it.
//
// Every step can be made to fail: see [FS.Fault].
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
	// Guard, when set, lets each step happen or refuses it. What it returns is
	// called when the step is over.
	Guard func() (release func(), err error)
	// Fault, when set, is asked before each step, with Done false, and after
	// it, with Done true. An error stands for a step that did not happen and
	// for one that happened while its reply was lost.
	Fault func(Step) error
	// Patience is how long a verb waits for files to be deleted that are garbage
	// already. Zero means half a second, and less than zero not at all.
	Patience time.Duration
	// SkipSync, when set, makes the syncs of some paths lie. It is for
	// harnesses that prove that they notice.
	SkipSync func(path string) bool
}

// Default is what a manager copies when it is made. It is the zero value, but
// in a harness of this module that changed it before.
var Default FS

// Step is one change of the file system.
type Step struct {
	Op   string // mkdir, write, sync, rename, remove, probe, ingest or commit
	Path string
	Done bool
}

// Do makes a change that others implement a step: it needs the guard, and can be
// made to fail. When it returns nil, do has made it durable.
func (f *FS) Do(op, path string, do func() error) error { return f.step(op, path, do) }

// Guarded makes a change that needs the guard, and is no step.
func (f *FS) Guarded(op, path string, do func() error) error { return f.guarded(op, path, do) }

func (f *FS) step(op, path string, do func() error) error {
	return f.faulty(op, path, func() error { return f.guarded(op, path, do) })
}

// faulty is a step of which do asks the guard itself.
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

// Temporary returns the sibling of path that a crash of WriteFile may leave.
func Temporary(path string) string { return path + ".tmp" }

// WriteFile replaces the file at path by data. A crash leaves the old content
// or the new one, and perhaps [Temporary].
func (f *FS) WriteFile(path string, data []byte, perm os.FileMode) error {
	temporary := Temporary(path)
	err := f.step("write", temporary, func() error { return f.writeSynced(temporary, data, perm) })
	if err == nil {
		err = f.step("rename", path, func() error { return os.Rename(temporary, path) })
	}
	if err != nil {
		// Nothing refers to the temporary file; the next write replaces it.
		_ = f.Unlink(temporary)
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Create writes and syncs the file at path, which no one reads before its
// directory is synced. A crash leaves any part of it.
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

// MkdirAll makes the directory and its missing parents, and syncs the parent
// of each one it made.
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

// Remove deletes the file or empty directory at path and syncs its parent. A
// path that is not there is not an error.
func (f *FS) Remove(path string) error {
	if err := f.Unlink(path); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Unlink deletes the file at path, which need not stay deleted after a power
// cut. A path that is not there is not an error.
func (f *FS) Unlink(path string) error {
	err := f.step("remove", path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// RemoveAll deletes the tree at path and syncs its parent. It follows no
// symbolic link, and it refuses with [MountedError], having deleted nothing,
// when anything is mounted at or below path. The time is linear in the number of
// names, however deep they are nested.
func (f *FS) RemoveAll(path string) error { return f.RemoveWithin(context.Background(), path) }

// RemoveWithin is RemoveAll that ends with ctx, whose error it returns then.
// What is left can be removed later.
func (f *FS) RemoveWithin(ctx context.Context, path string) error {
	if err := f.DiscardWithin(ctx, path); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Discard is RemoveAll for what need not stay removed after a power cut.
func (f *FS) Discard(path string) error { return f.DiscardWithin(context.Background(), path) }

// DiscardWithin is RemoveWithin for what need not stay removed after a power
// cut.
func (f *FS) DiscardWithin(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := CheckUnmounted(path); err != nil {
		return err
	}
	return f.faulty("remove", path, func() error { return f.removeTree(ctx, path) })
}

// removedAtOnce is how many names are deleted in one guarded step, some
// milliseconds. In between the guard can be taken away.
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

// Tidy is RemoveAll of what a sweep would delete later: it deletes as much as it
// can within Patience.
func (f *FS) Tidy(path string) error {
	ctx, cancel := f.Patient(context.Background())
	defer cancel()
	err := f.RemoveWithin(ctx, path)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// PutAway makes path free: it deletes the tree there within Patience, and
// renames what is left to aside, which must be free and on the same file system.
// It reports whether there is something there. Neither need survive a power cut.
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

// CheckUnmounted returns a [MountedError] when something is mounted at or below
// path.
func CheckUnmounted(path string) error {
	mounts, err := MountsBelow(path)
	if err == nil && len(mounts) > 0 {
		err = &MountedError{Path: path, Mounts: mounts}
	}
	return err
}

// MountsBelow returns where something is mounted at or below path.
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

// MountedError refuses to delete a tree into which something is mounted.
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
