// SPDX-License-Identifier: Apache-2.0

package trees

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Dir is an open directory of a walk.
type Dir struct {
	FD     int
	Device uint64
	Inode  uint64
}

// Visitor has the functions that a walk calls. Each may be nil. An error ends the
// walk, which returns it. Names that vanish during the walk are skipped.
type Visitor struct {
	// File is called with each name that is not a directory. The name can be a
	// mount point.
	File func(dir Dir, name string) error
	// Enter is called with each directory before its content, and decides
	// whether the content is visited. The walk closes the descriptor of opened.
	Enter func(parent Dir, name string, opened Dir) (bool, error)
	// Leave is called with each entered directory after its content.
	Leave func(parent Dir, name string) error
	// Mounted is called with each directory that is a mount point. The walk does
	// not enter it.
	Mounted func(parent Dir, name string) error
}

// Walk visits everything below an open directory, in no particular order. The
// error is [ErrTooDeep], [ErrMoved], or that of ctx, the visitor or the kernel.
func Walk(ctx context.Context, top int, visitor Visitor) error {
	w := walk{ctx: ctx, visitor: visitor}
	defer w.close()
	fd, err := open(top, ".", directoryFlags)
	if err != nil {
		return err
	}
	if err := w.push(fd, ""); err != nil {
		return err
	}
	for len(w.path) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// walk is a walk in progress. Path has the directories from the top to the
// current one; the last [maxOpen] of them are open.
type walk struct {
	ctx     context.Context
	visitor Visitor
	path    []level
	spare   []byte // an unused block for the next listing
}

// level is a directory that the walk has entered.
type level struct {
	Dir             // FD is -1 while the directory is closed
	name   string   // for Leave
	offset int64    // while closed, the offset of the next name
	list   *listing // nil while the directory is closed
}

func (w *walk) current() *level { return &w.path[len(w.path)-1] }

func (w *walk) step() error {
	current := w.current()
	name, kind, err := current.list.next()
	switch {
	case err != nil:
		return err
	case name == "":
		return w.pop()
	case kind == unix.DT_DIR || kind == unix.DT_UNKNOWN:
		return w.enter(current.Dir, name)
	case w.visitor.File != nil:
		return w.visitor.File(current.Dir, name)
	}
	return nil
}

func (w *walk) enter(parent Dir, name string) error {
	fd, err := open(parent.FD, name, directoryFlags)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		if w.visitor.File == nil {
			return nil
		}
		return w.visitor.File(parent, name)
	case errors.Is(err, unix.EXDEV):
		if w.visitor.Mounted == nil {
			return nil
		}
		return w.visitor.Mounted(parent, name)
	case err != nil:
		return err
	}
	return w.push(fd, name)
}

// push makes a directory the current one, unless Enter declines. It takes
// ownership of fd.
func (w *walk) push(fd int, name string) error {
	opened, err := identify(fd)
	if err == nil && len(w.path) > 0 && w.visitor.Enter != nil {
		var enter bool
		if enter, err = w.visitor.Enter(w.current().Dir, name, opened); err == nil && !enter {
			return unix.Close(fd)
		}
	}
	if err == nil && len(w.path) >= maxDepth {
		err = ErrTooDeep
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	if w.visitor.Leave == nil {
		name = ""
	}
	if oldest := len(w.path) - maxOpen; oldest >= 0 && w.path[oldest].list != nil {
		w.suspend(&w.path[oldest])
	}
	w.path = append(w.path, level{Dir: opened, name: name, list: &listing{fd: fd, block: w.spare}})
	w.spare = nil
	return nil
}

func identify(fd int) (Dir, error) {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	return Dir{FD: fd, Device: uint64(stat.Dev), Inode: stat.Ino}, err //nolint:unconvert // Dev differs between architectures
}

// suspend closes a directory to which the walk will return.
func (w *walk) suspend(l *level) {
	_ = unix.Close(l.FD)
	l.FD, l.offset, w.spare = -1, l.list.offset, l.list.block
	l.list = nil
}

// pop leaves the current directory.
func (w *walk) pop() error {
	left := *w.current()
	if len(w.path) == 1 {
		w.path = nil
		return unix.Close(left.FD)
	}
	parent := &w.path[len(w.path)-2]
	if parent.list == nil {
		if err := w.reopen(parent, left.FD); err != nil {
			return err
		}
	}
	w.spare = left.list.block
	w.path = w.path[:len(w.path)-1]
	_ = unix.Close(left.FD)
	if w.visitor.Leave == nil {
		return nil
	}
	return w.visitor.Leave(parent.Dir, left.name)
}

// reopen opens a suspended directory by the ".." of its child. It returns
// [ErrMoved] if that leads elsewhere, because a directory was moved.
func (w *walk) reopen(l *level, child int) error {
	fd, err := open(child, "..", directoryFlags&^unix.O_NOFOLLOW)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOENT) {
		return ErrMoved
	}
	if err != nil {
		return err
	}
	again, err := identify(fd)
	if err == nil && (again.Device != l.Device || again.Inode != l.Inode) {
		err = ErrMoved
	}
	list := &listing{fd: fd, block: w.spare}
	if err == nil {
		err = list.seek(l.offset)
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	l.FD, l.list, w.spare = fd, list, nil
	return nil
}

func (w *walk) close() {
	for _, l := range w.path {
		if l.list != nil {
			_ = unix.Close(l.FD)
		}
	}
}
