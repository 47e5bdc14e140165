// SPDX-License-Identifier: Apache-2.0

package trees

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Removal deletes one tree step by step. It moves directories that are nested
// deeper than [maxOpen], or deeper than there are descriptors, to the top of the
// tree and deletes them there. It is not safe for concurrent use.
type Removal struct {
	parent int
	owned  bool // Close closes parent
	base   string
	prefix string
	moved  int
	path   []emptying
	done   bool

	failed   error // the first failure
	failures int   // number of names that could not be deleted
}

// emptying is a directory that is being emptied.
type emptying struct {
	listing
	name string
	// progress is set when a name was deleted from the directory, or moved into
	// it, since its listing began. Then the listing may have missed names:
	// https://man7.org/linux/man-pages/man3/readdir.3p.html
	progress bool
}

// Remove returns a removal of the tree at path, which need not exist. The caller
// closes the removal.
func Remove(path string) (*Removal, error) {
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return &Removal{parent: -1, done: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open parent of %s: %w", path, err)
	}
	r := RemoveAt(parent, filepath.Base(path))
	r.owned = true
	return r, nil
}

// RemoveAt is [Remove] of a name in an open directory. The caller keeps the
// directory open until it has closed the removal.
func RemoveAt(parent int, base string) *Removal {
	return &Removal{parent: parent, base: base, prefix: ".removed-" + rand.Text()[:8] + "-"}
}

// Run deletes at most steps names and reports whether the removal is done. It
// continues after names that can't be deleted. When done, the error names the
// first of them and their number; before, it is the error of ctx.
func (r *Removal) Run(ctx context.Context, steps int) (done bool, err error) {
	for ; steps > 0 && !r.done; steps-- {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		r.step()
	}
	if !r.done {
		return false, nil
	}
	return true, r.result()
}

// Close closes the descriptors of the removal. It deletes nothing.
func (r *Removal) Close() {
	for _, d := range r.path {
		_ = unix.Close(d.fd)
	}
	r.path = nil
	if r.owned {
		_ = unix.Close(r.parent)
		r.owned = false
	}
}

func (r *Removal) result() error {
	if r.failures > 1 {
		return fmt.Errorf("%w; and %d more", r.failed, r.failures-1)
	}
	return r.failed
}

func (r *Removal) step() {
	if len(r.path) == 0 {
		if !r.delete(r.parent, r.base, unix.DT_UNKNOWN) {
			r.done = true
		}
		return
	}
	current := &r.path[len(r.path)-1]
	name, kind, err := current.next()
	// ENOENT means that another removal has deleted the directory.
	if err != nil && !errors.Is(err, unix.ENOENT) {
		r.fail(current.name, err)
	}
	if err != nil || name == "" {
		r.leave(current)
		return
	}
	r.delete(current.fd, name, kind)
}

// delete deletes a name, or enters it if it is a directory.
func (r *Removal) delete(dir int, name string, kind byte) (entered bool) {
	if kind != unix.DT_DIR {
		err := unix.Unlinkat(dir, name, 0)
		switch {
		case err == nil:
			r.markProgress()
			return false
		case errors.Is(err, unix.ENOENT):
			return false
		case !errors.Is(err, unix.EISDIR) && !isDirectory(dir, name):
			r.fail(name, err)
			return false
		}
	}
	return r.enter(dir, name)
}

// isDirectory recognizes directories on file systems on which unlink(2) of a
// directory returns EPERM instead of EISDIR.
func isDirectory(dir int, name string) bool {
	var stat unix.Stat_t
	err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (r *Removal) markProgress() {
	if len(r.path) > 0 {
		r.path[len(r.path)-1].progress = true
	}
}

func (r *Removal) enter(dir int, name string) (entered bool) {
	if len(r.path) >= maxOpen && r.moveUp(dir, name) {
		return false
	}
	fd, err := open(dir, name, directoryFlags)
	switch {
	case err == nil:
		r.path = append(r.path, emptying{listing: listing{fd: fd}, name: name})
		return true
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		if len(r.path) > 1 && r.moveUp(dir, name) {
			return false
		}
	case errors.Is(err, unix.EXDEV):
		err = errMounted
	case errors.Is(err, unix.ENOENT):
		return false
	}
	r.fail(name, err)
	return false
}

var errMounted = fmt.Errorf("it is a mount point; unmount it first: %w", unix.EXDEV)

// moveUp moves a directory to the top of the tree. It returns false if the caller
// must enter the directory instead: overlayfs does not rename directories of a
// lower layer. Their depth is bounded by the limits for images.
func (r *Removal) moveUp(dir int, name string) (done bool) {
	top := &r.path[0]
	for {
		r.moved++
		err := unix.Renameat(dir, name, top.fd, fmt.Sprint(r.prefix, r.moved))
		switch {
		case errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY):
			continue
		case errors.Is(err, unix.EXDEV):
			return false
		case err == nil:
			top.progress = true
			r.markProgress()
		case !errors.Is(err, unix.ENOENT):
			r.fail(name, fmt.Errorf("too deeply nested, and can't be moved: %w", err))
		}
		return true
	}
}

// leave deletes the current directory, which was emptied.
func (r *Removal) leave(current *emptying) {
	parent := r.parent
	if len(r.path) > 1 {
		parent = r.path[len(r.path)-2].fd
	}
	err := unix.Unlinkat(parent, current.name, unix.AT_REMOVEDIR)
	if isNotEmpty(err) && current.progress {
		current.progress = false
		if err := current.rewind(); err == nil {
			return
		}
	}
	_ = unix.Close(current.fd)
	name := current.name
	r.path = r.path[:len(r.path)-1]
	switch {
	case err == nil:
		r.markProgress()
	case isNotEmpty(err) && r.failures > 0, errors.Is(err, unix.ENOENT):
		// The failure of its content is already recorded.
	default:
		r.fail(name, err)
	}
	r.done = len(r.path) == 0
}

func isNotEmpty(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}

func (r *Removal) fail(name string, err error) {
	if r.failures++; r.failures == 1 {
		r.failed = fmt.Errorf("delete %q: %w", name, err)
	}
}
