package rootfs

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxOpenDirectories is how many directories stay open between entries.
	// Archives are written directory by directory, so few are enough.
	maxOpenDirectories = 32

	directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	// confined resolves a name without ever leaving the directory: links are
	// followed by a walk.
	confined = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
)

// tree is a directory that nothing done through it leaves: whatever is below,
// each step is resolved by the kernel inside it. It is not safe for concurrent
// use.
type tree struct {
	root  *directory
	open  []*directory // most recently used first
	stale []*directory // no longer found by their names, but perhaps in use
	meter *meter
}

// directory is an open directory of a tree. It stays open until [tree.next].
type directory struct {
	fd    int
	name  string // it was opened by, empty for the root
	inode uint64 // the identity of the directory; all lie on one device
}

func openTree(dir string, meter *meter) (*tree, error) {
	fd, err := unix.Open(dir, directoryFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &SystemError{Op: "open directory", Entry: dir, Err: err}
	}
	root, err := newDirectory(fd, "")
	if err != nil {
		return nil, err
	}
	return &tree{root: root, meter: meter}, nil
}

func newDirectory(fd int, name string) (*directory, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		_ = unix.Close(fd)
		return nil, &SystemError{Op: "stat directory", Entry: name, Err: err}
	}
	return &directory{fd: fd, name: name, inode: stat.Ino}, nil
}

func (t *tree) close() {
	t.forget()
	t.next()
	_ = unix.Close(t.root.fd)
}

// next tells that no directory is in use any more.
func (t *tree) next() {
	for _, d := range t.stale {
		_ = unix.Close(d.fd)
	}
	t.stale = t.stale[:0]
}

// forget makes every name be resolved anew. It is called when a directory or a
// symbolic link is removed, for names may lead elsewhere from then on.
func (t *tree) forget() {
	t.stale = append(t.stale, t.open...)
	t.open = t.open[:0]
}

// parent opens the directory that a name lies in, and makes it if it is
// missing. The name is a [rootedName] and not empty.
func (t *tree) parent(name string) (d *directory, base string, err error) {
	d, base, err = t.find(name)
	if !errors.Is(err, unix.ENOENT) {
		return d, base, findError(name, err)
	}
	dir := path.Dir(name)
	fd, err := t.walk(dir, true)
	if err != nil {
		return nil, "", findError(name, err)
	}
	d, err = t.remember(fd, dir)
	return d, base, findError(name, err)
}

// find is [tree.parent] of a directory that exists. The root is found in
// itself, as ".".
func (t *tree) find(name string) (d *directory, base string, err error) {
	if name == "" {
		return t.root, ".", nil
	}
	dir, base := path.Split(name)
	d, err = t.directory(strings.TrimSuffix(dir, "/"))
	return d, base, err
}

func findError(name string, err error) error {
	if err == nil {
		return nil
	}
	return entryError("open directory of", name, err)
}

func (t *tree) directory(name string) (*directory, error) {
	if name == "" {
		return t.root, nil
	}
	if i := slices.IndexFunc(t.open, func(d *directory) bool { return d.name == name }); i >= 0 {
		d := t.open[i]
		copy(t.open[1:], t.open[:i])
		t.open[0] = d
		return d, nil
	}
	if err := t.meter.step(name, strings.Count(name, "/")+1); err != nil {
		return nil, err
	}
	fd, err := openConfined(t.root.fd, name)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		fd, err = t.walk(name, false)
	}
	if err != nil {
		return nil, err
	}
	return t.remember(fd, name)
}

// remember takes fd over.
func (t *tree) remember(fd int, name string) (*directory, error) {
	if err := reachable(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	// The name may be a small part of a long header.
	d, err := newDirectory(fd, strings.Clone(name))
	if err != nil {
		return nil, err
	}
	if len(t.open) == maxOpenDirectories {
		last := len(t.open) - 1
		t.stale = append(t.stale, t.open[last])
		t.open = t.open[:last]
	}
	t.open = slices.Insert(t.open, 0, d)
	return d, nil
}

// reachable refuses a directory whose path is longer than a path may be. By
// way of symbolic links an archive could nest directories deeper than the
// tools that are to read and to delete them can name.
func reachable(fd int) error {
	_, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return unix.ENAMETOOLONG
	}
	return nil
}

// openConfined opens a directory below another one, by a name in which nothing
// is a symbolic link, or a mount point, or leads out.
func openConfined(dirfd int, name string) (int, error) {
	how := unix.OpenHow{Flags: directoryFlags, Resolve: confined}
	for {
		fd, err := unix.Openat2(dirfd, name, &how)
		// The kernel gives up when anything on the host is renamed meanwhile: a
		// new attempt is an answer of its own.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// entryError tells the archive's fault from the host's.
func entryError(op, name string, err error) error {
	var entry *EntryError
	var limit *LimitError
	if errors.As(err, &entry) || errors.As(err, &limit) {
		return err
	}
	if errors.Is(err, errWinding) {
		return &EntryError{Entry: name, Reason: "its path leads through too many parts of symbolic links"}
	}
	for errno, reason := range faults {
		if errors.Is(err, errno) {
			return &EntryError{Entry: name, Reason: reason}
		}
	}
	return &SystemError{Op: op, Entry: name, Err: err}
}

// errWinding refuses a name that leads through more than anyone would write.
var errWinding = errors.New("path winds too much")

// faults are the kernel's answers that only an archive's content can provoke.
var faults = map[unix.Errno]string{
	unix.ENOENT:       "what it refers to does not exist",
	unix.ENOTDIR:      "part of its path is not a directory",
	unix.ELOOP:        "its path has too many symbolic links",
	unix.ENAMETOOLONG: "its path or a part of it is too long",
	unix.EXDEV:        "its path leads through a mount point",
	unix.EINVAL:       "it has a value that the file system can't hold",
	unix.ERANGE:       "an extended attribute's name or value is too long",
	unix.E2BIG:        "an extended attribute is too large",
	unix.EMLINK:       "the file has too many links",
}
