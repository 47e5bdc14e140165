package rootfs

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinks is how many symbolic links the kernel follows in one name.
	maxLinks = 40
	// maxNameSteps is how many parts one name may lead through, by way of links:
	// ten times what a path can have without.
	maxNameSteps = 20 << 10
	// walkSteps is how much more one step of a walk costs than of the kernel's.
	walkSteps = 4
)

// walk is one resolution of a path, part by part, as if the tree were all there
// is: an absolute link begins at the root, and the root's parent is the root. It
// keeps one directory open. The kernel could follow the links by itself, but for
// as long as they please.
type walk struct {
	tree  *tree
	name  string
	makes bool     // make what is missing, with mode 0755
	at    []string // what leads from the root to where it is, no links among it
	fd    int      // where it is; -1 when that is not open
	todo  []string // what is to follow, last first
	links int
	steps int
}

// walk opens a directory whose path has symbolic links, or parts that are
// missing. These may be the target of a symbolic link, which is made as
// containerd makes it.
func (t *tree) walk(name string, makes bool) (int, error) {
	w := &walk{tree: t, name: name, makes: makes, fd: -1}
	defer w.shut()
	w.push(name)
	for len(w.todo) > 0 {
		last := len(w.todo) - 1
		part := w.todo[last]
		w.todo = w.todo[:last]
		if err := w.take(part); err != nil {
			return -1, err
		}
	}
	here, err := w.here()
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(here), unix.F_DUPFD_CLOEXEC, 0)
}

// push makes a path what is to follow next.
func (w *walk) push(path string) {
	parts := strings.Split(path, "/")
	slices.Reverse(parts)
	w.todo = append(w.todo, parts...)
}

func (w *walk) count(steps int) error {
	if w.steps += steps; w.steps > maxNameSteps {
		return errWinding
	}
	return w.tree.meter.step(w.name, walkSteps*steps)
}

// here returns the directory that the walk is in.
func (w *walk) here() (int, error) {
	if len(w.at) == 0 {
		return w.tree.root.fd, nil
	}
	if w.fd >= 0 {
		return w.fd, nil
	}
	if err := w.count(len(w.at)); err != nil {
		return -1, err
	}
	fd, err := openConfined(w.tree.root.fd, strings.Join(w.at, "/"))
	if err == nil {
		w.fd = fd
	}
	return fd, err
}

func (w *walk) take(part string) error {
	switch part {
	case "", ".":
		return nil
	case "..":
		w.shut()
		w.at = w.at[:max(0, len(w.at)-1)]
		return nil
	}
	if err := w.count(1); err != nil {
		return err
	}
	here, err := w.here()
	if err != nil {
		return err
	}
	fd, err := openConfined(here, part)
	if errors.Is(err, unix.ENOENT) && w.makes {
		fd, err = w.make(here, part)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return w.follow(here, part)
	}
	if err != nil {
		return err
	}
	w.shut()
	w.fd, w.at = fd, append(w.at, part)
	return nil
}

func (w *walk) make(here int, part string) (int, error) {
	if err := w.tree.meter.entry(w.name); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(here, part, 0o755); err != nil {
		return -1, err
	}
	if err := unix.Fchmodat(here, part, 0o755, 0); err != nil {
		return -1, err
	}
	return openConfined(here, part)
}

func (w *walk) follow(here int, link string) error {
	target, err := readLink(here, link)
	if errors.Is(err, unix.EINVAL) {
		return unix.ENOTDIR
	}
	if err != nil {
		return err
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if strings.HasPrefix(target, "/") {
		w.shut()
		w.at = w.at[:0]
	}
	w.push(target)
	return nil
}

// shut closes the directory that the walk is in.
func (w *walk) shut() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}

func readLink(dirfd int, name string) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, target)
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}
