// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLinks is how many symbolic links the kernel follows in one name:
	// https://man7.org/linux/man-pages/man7/path_resolution.7.html
	maxLinks = 40
	// maxNameSteps is how many components one name may resolve through: ten
	// times the number of components that fit into PATH_MAX.
	maxNameSteps = 20 << 10
	// walkSteps is the cost of one step of a walk, relative to one component
	// resolved by the kernel.
	walkSteps = 4
)

// walk resolves one path, component by component, as if the tree's root were the
// root of the file system: an absolute link begins at the root, and the root's
// parent is the root. It keeps at most one directory open. The kernel could
// follow the links itself, but without a bound on their cost.
type walk struct {
	tree  *tree
	name  string
	makes bool     // make missing directories, with mode 0755
	at    []string // path of the current directory, without links
	fd    int      // the current directory; -1 if it is not open
	todo  []string // remaining components, last first
	links int
	steps int
}

// walk opens a directory by a path with symbolic links or missing components. If
// makes is set it makes missing directories, also at the targets of symbolic links,
// as containerd does.
func (t *tree) walk(name string, makes bool) (int, error) {
	w := &walk{tree: t, name: name, makes: makes, fd: -1}
	defer w.closeCurrent()
	w.push(name)
	for len(w.todo) > 0 {
		last := len(w.todo) - 1
		part := w.todo[last]
		w.todo = w.todo[:last]
		if err := w.step(part); err != nil {
			return -1, err
		}
	}
	current, err := w.current()
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(current), unix.F_DUPFD_CLOEXEC, 0)
}

// push puts the components of a path before the remaining ones.
func (w *walk) push(path string) {
	parts := strings.Split(path, "/")
	slices.Reverse(parts)
	w.todo = append(w.todo, parts...)
}

func (w *walk) count(steps int) error {
	if w.steps += steps; w.steps > maxNameSteps {
		return errTooManySteps
	}
	return w.tree.meter.step(w.name, walkSteps*steps)
}

// current returns the directory that the walk is in. The walk keeps ownership of
// the descriptor.
func (w *walk) current() (int, error) {
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

// step resolves one component.
func (w *walk) step(part string) error {
	switch part {
	case "", ".":
		return nil
	case "..":
		w.closeCurrent()
		w.at = w.at[:max(0, len(w.at)-1)]
		return nil
	}
	if err := w.count(1); err != nil {
		return err
	}
	current, err := w.current()
	if err != nil {
		return err
	}
	fd, err := openConfined(current, part)
	if errors.Is(err, unix.ENOENT) && w.makes {
		fd, err = w.make(current, part)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return w.follow(current, part)
	}
	if err != nil {
		return err
	}
	w.closeCurrent()
	w.fd, w.at = fd, append(w.at, part)
	return nil
}

func (w *walk) make(parent int, part string) (int, error) {
	if err := w.tree.meter.entry(w.name); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(parent, part, 0o755); err != nil {
		return -1, err
	}
	if err := unix.Fchmodat(parent, part, 0o755, 0); err != nil {
		return -1, err
	}
	return openConfined(parent, part)
}

func (w *walk) follow(parent int, link string) error {
	target, err := readLink(parent, link)
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
		w.closeCurrent()
		w.at = w.at[:0]
	}
	w.push(target)
	return nil
}

// closeCurrent closes the directory that the walk is in.
func (w *walk) closeCurrent() {
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
