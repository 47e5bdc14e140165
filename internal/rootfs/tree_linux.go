// SPDX-License-Identifier: Apache-2.0

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
	// Archives are written directory by directory, so a few suffice.
	maxOpenDirectories = 32

	directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	// confined makes the kernel resolve a name inside the directory. It refuses
	// symbolic links; [tree.walk] follows them.
	confined = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
)

// tree confines operations to a directory: whatever lies below, the kernel
// resolves each step inside it. It is not safe for concurrent use.
type tree struct {
	root  *directory
	open  []*directory // most recently used first
	stale []*directory // dropped from open, but possibly in use
	meter *meter
}

// directory is an open directory of a tree. It stays open until [tree.closeStale].
type directory struct {
	fd    int
	name  string // the path by which it was opened; empty for the root
	inode uint64 // identifies the directory, because all lie on one device
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
	t.dropOpen()
	t.closeStale()
	_ = unix.Close(t.root.fd)
}

// closeStale closes the directories that were dropped. The caller no longer
// uses any directory of the tree.
func (t *tree) closeStale() {
	for _, d := range t.stale {
		_ = unix.Close(d.fd)
	}
	t.stale = t.stale[:0]
}

// dropOpen makes the tree resolve every name anew. It is called after a
// directory or a symbolic link was removed, because names can lead elsewhere
// from then on.
func (t *tree) dropOpen() {
	t.stale = append(t.stale, t.open...)
	t.open = t.open[:0]
}

// parent opens the directory that contains name, and makes it if it is missing.
// The name comes from [rootedName] and is not empty.
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
	d, err = t.keepOpen(fd, dir)
	return d, base, findError(name, err)
}

// find is like [tree.parent] but makes nothing. It returns the root itself as
// its own entry ".".
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
	return entryError("open parent directory of", name, err)
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
	return t.keepOpen(fd, name)
}

// keepOpen adds a directory to the open ones. It takes ownership of fd.
func (t *tree) keepOpen(fd int, name string) (*directory, error) {
	if err := reachable(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	// Clone the name, so that it does not keep a long header in memory.
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

// reachable returns ENAMETOOLONG if a directory's path is longer than PATH_MAX.
// Through symbolic links an archive could nest directories so deeply that other
// tools can neither read nor delete them.
func reachable(fd int) error {
	_, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return unix.ENAMETOOLONG
	}
	return nil
}

// openConfined opens a directory below another one. It fails if name contains a
// symbolic link or a mount point, or leads outside.
func openConfined(dirfd int, name string) (int, error) {
	how := unix.OpenHow{Flags: directoryFlags, Resolve: confined}
	for {
		fd, err := unix.Openat2(dirfd, name, &how)
		// openat2 returns EAGAIN when a rename or mount on the host runs
		// concurrently. The caller can retry at once:
		// https://man7.org/linux/man-pages/man2/openat2.2.html
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// entryError returns an EntryError if only the archive can have caused err, and
// a SystemError otherwise.
func entryError(op, name string, err error) error {
	var entry *EntryError
	var limit *LimitError
	if errors.As(err, &entry) || errors.As(err, &limit) {
		return err
	}
	if errors.Is(err, errTooManySteps) {
		return &EntryError{Entry: name, Reason: "path resolves through too many symbolic link components"}
	}
	for errno, reason := range faults {
		if errors.Is(err, errno) {
			return &EntryError{Entry: name, Reason: reason}
		}
	}
	return &SystemError{Op: op, Entry: name, Err: err}
}

// errTooManySteps reports a name that resolves through more components than a
// legitimate archive needs.
var errTooManySteps = errors.New("path resolves through too many components")

// faults are the kernel errors that only an archive's content can cause.
var faults = map[unix.Errno]string{
	unix.ENOENT:       "path does not exist",
	unix.ENOTDIR:      "a path component is not a directory",
	unix.ELOOP:        "path has too many symbolic links",
	unix.ENAMETOOLONG: "path or a path component is too long",
	unix.EXDEV:        "path crosses a mount point",
	unix.EINVAL:       "file system refuses a value of the entry",
	unix.ERANGE:       "name or value of an extended attribute is too long",
	unix.E2BIG:        "extended attribute is too large",
	unix.EMLINK:       "file has too many hard links",
}
