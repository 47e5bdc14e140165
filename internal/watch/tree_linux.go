// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Options configure a watch. The zero value is ready to use.
type Options struct {
	// Skip leaves out files and directories by their names. Nil leaves out none.
	Skip func(name string) bool
	// MaxDirectories bounds the tree. Zero means 8192, the limit of a user's watches on
	// small hosts.
	MaxDirectories int
}

const (
	defaultDirectories = 8192
	// quiet is how long nothing may change before changes are reported, because a
	// command or an editor changes several files at once.
	quiet = 30 * time.Millisecond
	// patience bounds the wait for that quiet.
	patience = time.Second
)

// Tree watches a directory and all below it. It uses inotify, so it does not see what
// other hosts change in a network file system. It is safe for concurrent use.
type Tree struct {
	// Changes gets an item after changes, which may be several. It is closed when the
	// watch has ended.
	Changes <-chan struct{}

	top         string
	options     Options
	changes     chan struct{}
	inotify     *os.File
	directories map[int32]string // by watch
	err         error            // why it has ended; to read once Changes is closed
}

// Open begins to watch a directory. The caller must call Close. Errors: [Error], and those
// of the file system.
func Open(top string, options Options) (*Tree, error) {
	t, err := newTree(top, options)
	if err == nil {
		go t.run()
	}
	return t, err
}

func newTree(top string, options Options) (*Tree, error) {
	if options.MaxDirectories == 0 {
		options.MaxDirectories = defaultDirectories
	}
	top, err := filepath.EvalSymlinks(top)
	if err != nil {
		return nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if errors.Is(err, unix.EMFILE) {
		return nil, &Error{top, "no inotify instance is free: raise fs.inotify.max_user_instances"}
	}
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	t := &Tree{top: top, options: options, changes: make(chan struct{}, 1), inotify: os.NewFile(uintptr(fd), "inotify"), directories: map[int32]string{}}
	t.Changes = t.changes
	if err := t.add(top); err != nil {
		return nil, errors.Join(err, t.inotify.Close())
	}
	if len(t.directories) == 0 {
		return nil, errors.Join(&fs.PathError{Op: "watch", Path: top, Err: syscall.ENOTDIR}, t.inotify.Close())
	}
	return t, nil
}

// Error reports a tree that can't be watched, or no longer.
type Error struct{ Directory, Reason string }

func (e *Error) Error() string { return plaintext.Sprintf("watch %q: %s", e.Directory, e.Reason) }

// Close ends the watch, and returns when Changes is closed.
func (t *Tree) Close() {
	_ = t.inotify.Close() // it fails after an error, which Err has
	for range t.Changes {
	}
}

// Err returns why Changes is closed: nil after Close, an [Error] for a tree that is gone
// or has grown too large, and errors of the file system.
func (t *Tree) Err() error { return t.err }

// Events of a directory that matter. A regular file counts when it is closed, because it
// is not complete before.
const events = unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

// add watches a directory and all below it. Files that disappear during the walk are left
// out, because their parent has an event.
func (t *Tree) add(directory string) error {
	return filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != t.top:
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != t.top && t.skips(entry.Name()):
			return fs.SkipDir
		}
		watch := 0
		err = t.control(func(fd int) (err error) {
			watch, err = unix.InotifyAddWatch(fd, path, events)
			return err
		})
		switch {
		case errors.Is(err, unix.ENOSPC):
			return &Error{t.top, "no inotify watch is free: raise fs.inotify.max_user_watches"}
		case path != t.top && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)):
			return fs.SkipDir
		case err != nil:
			return &fs.PathError{Op: "watch", Path: path, Err: err}
		}
		t.directories[int32(watch)] = path
		if len(t.directories) > t.options.MaxDirectories {
			return &Error{t.top, fmt.Sprintf("it has more than %d directories", t.options.MaxDirectories)}
		}
		return nil
	})
}

func (t *Tree) skips(name string) bool { return t.options.Skip != nil && t.options.Skip(name) }

// forget ends the watches of a directory and of all below it, because it was moved.
func (t *Tree) forget(directory string) {
	for watch, path := range t.directories {
		if path == directory || strings.HasPrefix(path, directory+"/") {
			_ = t.control(func(fd int) error { // it fails if the directory is gone
				_, err := unix.InotifyRmWatch(fd, uint32(watch))
				return err
			})
			delete(t.directories, watch)
		}
	}
}

// control calls a function while the descriptor can't be closed. The error is
// [os.ErrClosed] if it is closed already.
func (t *Tree) control(call func(fd int) error) error {
	conn, err := t.inotify.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if conn.Control(func(fd uintptr) { result = call(int(fd)) }) != nil {
		return os.ErrClosed
	}
	return result
}
