package trees

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Removal deletes one tree, some names at a time. Directories that are nested
// deeper than [maxOpen], or than there are descriptors for, are moved up to the
// top of the tree, and deleted from there. It belongs to one goroutine.
type Removal struct {
	parent int
	owned  bool // parent is closed with the removal
	base   string
	prefix string
	moved  int
	path   []emptying
	done   bool

	failed   error // the first thing that could not be deleted
	failures int
}

// emptying is a directory that is being emptied.
type emptying struct {
	listing
	name string
	// progress reports that something was deleted from it, or moved into it,
	// since its listing began: then a listing that is at its end may have left
	// something out, as POSIX allows.
	progress bool
}

// Remove prepares to delete what is at path, which need not be there. The
// caller closes the removal.
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

// RemoveAt is [Remove] of a name in an open directory, which stays open until
// the removal is closed.
func RemoveAt(parent int, base string) *Removal {
	return &Removal{parent: parent, base: base, prefix: ".removed-" + rand.Text()[:8] + "-"}
}

// Run deletes until it is done, at most as many names as steps, and reports
// whether it is. It goes on beyond what can't be deleted; the error, once done,
// names the first such thing. Before, it is ctx's.
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

// Close releases what the removal holds. What is not deleted stays.
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
	here := &r.path[len(r.path)-1]
	name, kind, err := here.next()
	// A directory that another removal has deleted has no names.
	if err != nil && !errors.Is(err, unix.ENOENT) {
		r.fail(here.name, err)
	}
	if err != nil || name == "" {
		r.leave(here)
		return
	}
	r.delete(here.fd, name, kind)
}

// delete deletes a name, or enters the directory that it is.
func (r *Removal) delete(dir int, name string, kind byte) (entered bool) {
	if kind != unix.DT_DIR {
		err := unix.Unlinkat(dir, name, 0)
		switch {
		case err == nil:
			r.advanced()
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

// isDirectory is for file systems that answer EPERM to the unlink of one.
func isDirectory(dir int, name string) bool {
	var stat unix.Stat_t
	err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (r *Removal) advanced() {
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

var errMounted = fmt.Errorf("something is mounted there: %w", unix.EXDEV)

// moveUp moves a directory to the top of the tree, and reports whether it is done
// with there. Overlayfs does not rename directories of a lower layer, which are
// no deeper than images can have them: those are entered.
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
			r.advanced()
		case !errors.Is(err, unix.ENOENT):
			r.fail(name, fmt.Errorf("it is nested too deep, and can't be moved: %v", err))
		}
		return true
	}
}

// leave deletes a directory that was emptied.
func (r *Removal) leave(here *emptying) {
	parent := r.parent
	if len(r.path) > 1 {
		parent = r.path[len(r.path)-2].fd
	}
	err := unix.Unlinkat(parent, here.name, unix.AT_REMOVEDIR)
	if isNotEmpty(err) && here.progress {
		here.progress = false
		if err := here.rewind(); err == nil {
			return
		}
	}
	_ = unix.Close(here.fd)
	name := here.name
	r.path = r.path[:len(r.path)-1]
	switch {
	case err == nil:
		r.advanced()
	case isNotEmpty(err) && r.failures > 0, errors.Is(err, unix.ENOENT):
		// What is in it is the failure.
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
