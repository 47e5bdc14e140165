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
	// maxLinks is how many symbolic links the kernel follows in one name.
	maxLinks = 40

	directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	// confined resolves a name as if the directory were the root of all files.
	confined = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	// oneStep opens a child that is neither a symbolic link nor a mount point.
	oneStep = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
)

// tree is a directory that nothing done through it leaves: whatever is below,
// names are resolved by the kernel inside it. It is not safe for concurrent
// use.
type tree struct {
	root  *directory
	open  []*directory // most recently used first
	stale []*directory // no longer found by their names, but perhaps in use
	// made is asked before a directory is made that no entry names.
	made func(name string) error
}

// directory is an open directory of a tree. It stays open until [tree.next].
type directory struct {
	fd    int
	name  string // it was opened by, empty for the root
	inode uint64 // the identity of the directory; all lie on one device
}

func openTree(dir string, made func(string) error) (*tree, error) {
	fd, err := unix.Open(dir, directoryFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &SystemError{Op: "open directory", Entry: dir, Err: err}
	}
	root, err := newDirectory(fd, "")
	if err != nil {
		return nil, err
	}
	return &tree{root: root, made: made}, nil
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
	fd, err := t.makeAll(dir)
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
	fd, err := openConfined(t.root.fd, name, confined)
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
	d, err := newDirectory(fd, name)
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

// makeAll opens a directory and makes what is missing of its path, with mode
// 0755. It takes one step at a time, for a missing part may be the target of a
// symbolic link, which is made too, as containerd does.
func (t *tree) makeAll(name string) (int, error) {
	w := walk{tree: t, name: name, steps: strings.Split(name, "/")}
	defer w.close()
	for len(w.steps) > 0 {
		step := w.steps[0]
		w.steps = w.steps[1:]
		if err := w.take(step); err != nil {
			return -1, err
		}
	}
	return unix.FcntlInt(uintptr(w.here()), unix.F_DUPFD_CLOEXEC, 0)
}

// walk is one resolution of a path, step by step.
type walk struct {
	tree  *tree
	name  string
	path  []int // the directories below the root that were entered
	steps []string
	links int
}

func (w *walk) here() int {
	if len(w.path) == 0 {
		return w.tree.root.fd
	}
	return w.path[len(w.path)-1]
}

func (w *walk) take(step string) error {
	switch step {
	case "", ".":
		return nil
	case "..":
		w.leave()
		return nil
	}
	fd, err := openConfined(w.here(), step, oneStep)
	if errors.Is(err, unix.ENOENT) {
		fd, err = w.make(step)
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return w.follow(step)
	}
	if err != nil {
		return err
	}
	w.path = append(w.path, fd)
	return nil
}

func (w *walk) make(step string) (int, error) {
	if err := w.tree.made(w.name); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(w.here(), step, 0o755); err != nil {
		return -1, err
	}
	if err := unix.Fchmodat(w.here(), step, 0o755, 0); err != nil {
		return -1, err
	}
	return openConfined(w.here(), step, oneStep)
}

func (w *walk) follow(link string) error {
	target, err := readLink(w.here(), link)
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
		w.close()
	}
	w.steps = slices.Concat(strings.Split(target, "/"), w.steps)
	return nil
}

// leave steps out of a directory; the root's parent is the root.
func (w *walk) leave() {
	if last := len(w.path) - 1; last >= 0 {
		_ = unix.Close(w.path[last])
		w.path = w.path[:last]
	}
}

// close steps out of all.
func (w *walk) close() {
	for len(w.path) > 0 {
		w.leave()
	}
}

// openConfined opens a directory.
func openConfined(dirfd int, name string, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: directoryFlags, Resolve: resolve}
	for {
		fd, err := unix.Openat2(dirfd, name, &how)
		// The kernel gives up when anything on the host is renamed while it
		// resolves "..": a new attempt is an answer of its own.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
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

// entryError tells the archive's fault from the host's.
func entryError(op, name string, err error) error {
	var entry *EntryError
	var limit *LimitError
	if errors.As(err, &entry) || errors.As(err, &limit) {
		return err
	}
	for errno, reason := range faults {
		if errors.Is(err, errno) {
			return &EntryError{Entry: name, Reason: reason}
		}
	}
	return &SystemError{Op: op, Entry: name, Err: err}
}

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
