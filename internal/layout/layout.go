// SPDX-License-Identifier: Apache-2.0

// Package layout manages the files below a manager's root. It changes them so that
// a crash leaves the old state or the new one. The tree is compatible with
// docker's:
//
//	<root>/<id>/config.json        the record
//	<root>/<id>/rootfs             the plugin's file system
//	<root>/<id>/propagated-mount   data and mounts that outlive a run
//	<root>/<id>/output.log         its output; output.log.old has older output
//	<root>/storage                 the content store
//	<root>/exposed.json            directories of the host that plugins could write to
//	<root>/exposed.json.damaged    the same, in a file that could not be read
//	<root>/tmp/<id>                a stage: an install that is not committed
//	<root>/stages/<id>             the same, if tmp is on another file system
//	<root>/<id>-removing           trash: a committed removal
//	<root>/<id>/upgrade            a committed upgrade
//	<root>/<id>/upgrade-stage      the stage of an upgrade, if tmp can't be renamed into the plugin
//	<root>/<id>/rootfs-old         the old rootfs of docker's interrupted upgrade
//
// Names define the state: files below tmp and stages, and names that end in
// -removing, are garbage, and [Root.Sweep] deletes them. Other unknown files stay
// unchanged.
package layout

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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
	exposuresName       = "exposed.json"
	removingSuffix      = "-removing"
)

var validID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsID reports whether a plugin can have this ID.
func IsID(id string) bool { return validID.MatchString(id) }

// Root is a manager's locked directory. Its methods may be called concurrently for
// different plugins; the caller serializes changes of one plugin.
type Root struct {
	dir  string
	fs   *durable.FS
	lock *lock

	staging   string // the directory of new stages
	stages    stages
	unsettled unsettled     // changes that could not be undone
	sweeping  chan struct{} // a lock: holds one element during a sweep of garbage
	exposed   exposed
}

// Open makes the directory if it is missing, resolves links in its path, and locks
// it. If another process holds the lock, the error is [LockedError]. From an
// earlier Root of this process it takes the lock over, see [FencedError]. Each
// step of files, which may be nil, then needs the lock: after a takeover files
// refuses all steps.
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
	// Runtimes need a rootfs path without links, and the kernel lists mounts by
	// such paths.
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

// prepare makes the directories of a root and chooses the directory of stages.
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

// Close releases the lock. It can be called more than once, and does nothing after
// another Root of this process took over.
func (r *Root) Close() error { return r.lock.release() }

// Check returns a [FencedError] if this Root was closed or another Root of this
// process took over.
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

// Output returns the file of a plugin's output.
func (r *Root) Output(id string) string { return filepath.Join(r.dir, id, outputName) }

// OlderSuffix is the suffix of the file of older output.
const OlderSuffix = ".old"

// RotateOutput renames the file of a plugin's output to that of older output.
func (r *Root) RotateOutput(id string) error {
	if err := r.Check(); err != nil {
		return err
	}
	return r.fs.Rename(r.Output(id), r.Output(id)+OlderSuffix)
}

func (r *Root) tmp() string { return filepath.Join(r.dir, tmpName) }

func (r *Root) stagesDir() string { return filepath.Join(r.dir, stagesName) }

func (r *Root) record(id string) string { return filepath.Join(r.Plugin(id), recordName) }

// SaveRecord replaces the record of an installed plugin. When it returns nil the
// new record survives a power cut. After an error the old record is back, unless
// the disk refuses that write too: then a crash leaves either.
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

// putBack undoes a write that may have reached the disk before it failed.
func (r *Root) putBack(id string, record []byte) error {
	current, err := os.ReadFile(r.record(id))
	if err == nil && bytes.Equal(current, record) {
		return nil
	}
	return r.fs.WriteFile(r.record(id), record, 0o600)
}

// Recovered is the directory of an installed plugin, as Recover returns it.
type Recovered struct {
	ID     string
	Record []byte
	Err    error // the record can't be read, or its version is incomplete
	// Backup reports that an upgrade by docker's manager left the old rootfs
	// next to another one. The caller decides which of them the record describes,
	// and calls [Root.RestoreBackup] or [Root.DiscardBackup].
	Backup bool
}

// Recover completes the steps that a crash interrupted, and returns the installed
// plugins. After an error it returns none. A plugin behind a link is returned with an
// error: runc refuses a rootfs whose path has a link, and the kernel lists mounts by
// their real path.
func (r *Root) Recover() ([]Recovered, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var found []Recovered
	for _, entry := range entries {
		id := entry.Name()
		switch {
		case !validID.MatchString(id) || r.isRemoved(id):
		case entry.IsDir():
			found = append(found, r.find(id))
		case entry.Type() == fs.ModeSymlink:
			found = append(found, Recovered{ID: id, Err: fmt.Errorf("%s is a symbolic link: move the directory back, or mount it there", r.Plugin(id))})
		}
	}
	return found, nil
}

func (r *Root) find(id string) Recovered {
	r.fs.ForgetProbe(r.Plugin(id))
	if err := errors.Join(r.recoverBackup(id), r.advance(id)); err != nil {
		return Recovered{ID: id, Err: &InterruptedError{Err: err}}
	}
	record, err := os.ReadFile(r.record(id))
	return Recovered{ID: id, Record: record, Err: err, Backup: r.hasBackup(id)}
}
