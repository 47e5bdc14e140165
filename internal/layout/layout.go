// Package layout knows where a manager keeps what under its root, and changes
// it so that a crash leaves the old state or the new one. The tree is the one
// docker keeps:
//
//	<root>/<id>/config.json        the record
//	<root>/<id>/rootfs             the plugin's file system
//	<root>/<id>/propagated-mount   data and mounts that outlive a run
//	<root>/<id>/output.log         what it wrote, and output.log.old before that
//	<root>/storage                 the content store
//	<root>/tmp/<id>                a stage: an install that is not committed
//	<root>/stages/<id>             the same, where tmp is on another file system
//	<root>/<id>-removing           trash: a removal that is committed
//	<root>/<id>/upgrade            an upgrade that is committed
//	<root>/<id>/upgrade-stage      one that is not, where tmp can't be renamed into the plugin
//
// Names tell the state: whatever is below tmp and stages, and every name that
// ends in -removing, is garbage by definition and swept by [Root.Sweep]. Anything
// else that is not ours is left alone.
package layout

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/dovetailhq/plugin/internal/durable"
)

const (
	recordName          = "config.json"
	rootfsName          = "rootfs"
	propagatedMountName = "propagated-mount"
	outputName          = "output.log"
	storageName         = "storage"
	tmpName             = "tmp"
	stagesName          = "stages"
	removingSuffix      = "-removing"
)

var validID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsID reports whether a plugin can have this id.
func IsID(id string) bool { return validID.MatchString(id) }

// Root is a manager's directory, locked. Its methods may be called
// concurrently for different plugins; the caller serialises changes of one.
type Root struct {
	dir  string
	fs   *durable.FS
	lock *lock

	staging   string // where stages are made
	stages    stages
	unsettled unsettled     // what the disk refused to take back
	sweeping  chan struct{} // holds one while a sweep of garbage is under way
}

// Open makes the directory where it is missing, resolves links on the way to
// it, and locks it: against other processes with [LockedError], and against
// earlier Roots of this process by taking over from them, see [FencedError].
// From then on each step of files, which may be nil, needs the lock: after a
// takeover none happens any more.
func Open(dir string, files *durable.FS) (*Root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if files == nil {
		files = &durable.FS{}
	}
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Runtimes want a rootfs whose path has no link, and the kernel lists mounts
	// by such paths.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	held, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	files.Guard = held.enter
	r := &Root{dir: dir, fs: files, lock: held, sweeping: make(chan struct{}, 1)}
	if err := r.prepare(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// prepare makes the directories of a root, and finds out where stages can be
// made.
func (r *Root) prepare() error {
	for _, sub := range []string{r.Storage(), r.tmp()} {
		if err := r.fs.MkdirAll(sub, 0o700); err != nil {
			return err
		}
	}
	r.staging = r.tmp()
	movable, err := r.fs.CanMove(r.tmp(), r.dir)
	if err != nil {
		return fmt.Errorf("use plugin root %s: %w", r.dir, err)
	}
	if !movable {
		r.staging = r.stagesDir()
	}
	return r.fs.MkdirAll(r.staging, 0o700)
}

// Close releases the lock. It is safe to call more than once, and does
// nothing when another Root of this process took over.
func (r *Root) Close() error { return r.lock.release() }

// Check returns a [FencedError] when this Root may no longer be written to,
// because it was closed or another Root of this process took over.
func (r *Root) Check() error { return r.lock.check() }

// Dir returns the directory as an absolute path, without links.
func (r *Root) Dir() string { return r.dir }

// Storage returns the directory of the content store.
func (r *Root) Storage() string { return filepath.Join(r.dir, storageName) }

// Plugin returns the directory of an installed plugin.
func (r *Root) Plugin(id string) string { return filepath.Join(r.dir, id) }

// Rootfs returns the root file system of an installed plugin.
func (r *Root) Rootfs(id string) string { return filepath.Join(r.dir, id, rootfsName) }

// PropagatedMount returns the directory that a plugin shares mounts through.
func (r *Root) PropagatedMount(id string) string {
	return filepath.Join(r.dir, id, propagatedMountName)
}

// Output returns the file of what a plugin wrote.
func (r *Root) Output(id string) string { return filepath.Join(r.dir, id, outputName) }

// OlderSuffix is what the file of older output has behind its name.
const OlderSuffix = ".old"

// RotateOutput makes the file of a plugin's output the file of older output.
func (r *Root) RotateOutput(id string) error {
	if err := r.Check(); err != nil {
		return err
	}
	return r.fs.Rename(r.Output(id), r.Output(id)+OlderSuffix)
}

func (r *Root) tmp() string { return filepath.Join(r.dir, tmpName) }

func (r *Root) stagesDir() string { return filepath.Join(r.dir, stagesName) }

func (r *Root) record(id string) string { return filepath.Join(r.Plugin(id), recordName) }

// SaveRecord replaces the record of an installed plugin. When it returns nil
// the new record survives a power cut. After an error the old one is there,
// or was to be put back and could not: then a crash leaves either.
func (r *Root) SaveRecord(id string, record []byte) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := r.uninterrupted(id); err != nil {
		return err
	}
	previous, err := os.ReadFile(r.record(id))
	if err != nil {
		return err
	}
	if err := r.fs.WriteFile(r.record(id), record, 0o600); err != nil {
		return errors.Join(err, r.putBack(id, previous))
	}
	return nil
}

// putBack undoes a write that reached its place and could not say so.
func (r *Root) putBack(id string, record []byte) error {
	current, err := os.ReadFile(r.record(id))
	if err == nil && bytes.Equal(current, record) {
		return nil
	}
	return r.fs.WriteFile(r.record(id), record, 0o600)
}

// Found is one plugin's directory as Recover found it.
type Found struct {
	ID     string
	Record []byte
	Err    error // the record could not be read, or is of a version that is not whole
}

// Recover carries on what a crash interrupted and returns the installed
// plugins. After an error nothing is known about them.
func (r *Root) Recover() ([]Found, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, entry := range entries {
		if id := entry.Name(); validID.MatchString(id) && entry.IsDir() && !r.isRemoved(id) {
			found = append(found, r.find(entry.Name()))
		}
	}
	return found, nil
}

func (r *Root) find(id string) Found {
	r.fs.ForgetProbe(r.Plugin(id))
	if err := errors.Join(r.restoreBackup(id), r.advance(id)); err != nil {
		return Found{ID: id, Err: &InterruptedError{Err: err}}
	}
	record, err := os.ReadFile(r.record(id))
	return Found{ID: id, Record: record, Err: err}
}
