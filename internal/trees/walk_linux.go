package trees

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Dir is an open directory that a walk is in.
type Dir struct {
	FD     int
	Device uint64
	Inode  uint64
}

// Visitor is what a walk does. Functions that are nil do nothing; an error ends
// the walk and is returned. Names that vanish during the walk are left out.
type Visitor struct {
	// File is called with what is no directory.
	File func(dir Dir, name string) error
	// Enter is called with each directory before what is in it, and decides
	// whether that is visited. The descriptor is the walk's.
	Enter func(parent Dir, name string, opened Dir) (bool, error)
	// Leave is called with each directory that was entered, after what is in
	// it.
	Leave func(parent Dir, name string) error
	// Mounted is called with each directory on which something is mounted,
	// which is not visited. Mounted files are File's to find out.
	Mounted func(parent Dir, name string) error
}

// Walk visits what is below an open directory, in no particular order. The
// error is [ErrTooDeep], [ErrMoved], ctx's, the visitor's or the kernel's.
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

// walk is a walk under way: the directories from its top to where it is. Of
// these the last [maxOpen] are open.
type walk struct {
	ctx     context.Context
	visitor Visitor
	path    []level
	spare   []byte // a block that no listing uses
}

type level struct {
	Dir             // its descriptor is -1 while it is closed
	name   string   // for Leave
	offset int64    // where to go on, while it is closed
	list   *listing // nil while it is closed
}

func (w *walk) here() *level { return &w.path[len(w.path)-1] }

func (w *walk) step() error {
	here := w.here()
	name, kind, err := here.list.next()
	switch {
	case err != nil:
		return err
	case name == "":
		return w.pop()
	case kind == unix.DT_DIR || kind == unix.DT_UNKNOWN:
		return w.enter(here.Dir, name)
	case w.visitor.File != nil:
		return w.visitor.File(here.Dir, name)
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

// push takes fd over.
func (w *walk) push(fd int, name string) error {
	opened, err := identify(fd)
	if err == nil && len(w.path) > 0 && w.visitor.Enter != nil {
		var enter bool
		if enter, err = w.visitor.Enter(w.here().Dir, name, opened); err == nil && !enter {
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
		w.shut(&w.path[oldest])
	}
	w.path = append(w.path, level{Dir: opened, name: name, list: &listing{fd: fd, block: w.spare}})
	w.spare = nil
	return nil
}

func identify(fd int) (Dir, error) {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	return Dir{FD: fd, Device: uint64(stat.Dev), Inode: stat.Ino}, err
}

// shut closes a directory that the walk comes back to.
func (w *walk) shut(l *level) {
	_ = unix.Close(l.FD)
	l.FD, l.offset, w.spare = -1, l.list.offset, l.list.block
	l.list = nil
}

// pop leaves the directory that the walk is in.
func (w *walk) pop() error {
	left := *w.here()
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

// reopen opens a directory again that was shut. A directory below it may have
// been moved: then ".." leads elsewhere.
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
