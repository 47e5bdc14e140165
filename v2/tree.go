package v2

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Bounds on one walk through a tree. What exceeds one exists in no image that
// anyone builds; following it would cost seconds.
const (
	maxPathBytes = 4095    // PATH_MAX, without the byte at its end
	maxLinks     = 255     // runc's bound; Linux gives up at 40
	maxSteps     = 4096    // two paths of the greatest length
	maxLookBytes = 1 << 20 // of all paths that the kernel is asked for
)

// noSuchPath can't exist, because no file system takes a name that long. Its
// users get an error that says what is wrong.
var noSuchPath = "/too-many-symbolic-links" + strings.Repeat("-", 255)

var (
	// errKernelLink says that a path leads through links that the kernel
	// resolves differently for each process, or through files that only the
	// plugin will see.
	errKernelLink = errors.New("leads through links of the kernel to nobody knows where")
	// errTooFar says that a path exceeds one of the bounds.
	errTooFar = errors.New("leads through more symbolic links, or to a longer path, than are followed: shorten it")
)

// tree is the file system that a plugin sees: its rootfs and what is mounted
// over it. Paths inside are absolute, clean and have slashes. The zero tree is
// the host's.
type tree struct {
	rootfs string
	mounts []mounted // in the order they are made
	budget *int      // bytes that all walks together may still ask the kernel for; nil for no bound
	// onLook, if set, is told each place before the kernel is asked for it, and
	// what of the path follows. Its error ends the walk there.
	onLook func(onHost, rest string) error
}

// mounted hides what is at and below point.
type mounted struct {
	point  string
	source string // the host's path of what is seen instead; empty for what is not there yet
	kind   contents
}

type contents int

const (
	ownFiles  contents = iota // the plugin's, or files that do not exist yet
	hostFiles                 // the host's
	processes                 // links there lead anywhere
	unknown                   // what is there can't be known
)

// onHost returns the host's path of inside; empty if it has none.
func (t tree) onHost(inside string) string {
	path, _ := t.locate(inside)
	return path
}

// locate returns the host's path of inside, and what is mounted there: the
// last mount counts that covers it.
func (t tree) locate(inside string) (path string, in mounted) {
	for _, mount := range slices.Backward(t.mounts) {
		rest, ok := below(inside, mount.point)
		switch {
		case !ok:
		case mount.source == "":
			return "", mount
		default:
			return filepath.Join(mount.source, filepath.FromSlash(rest)), mount
		}
	}
	if t.rootfs == "" {
		return filepath.FromSlash(inside), mounted{point: "/"}
	}
	return filepath.Join(t.rootfs, filepath.FromSlash(inside)), mounted{point: "/"}
}

// resolve returns where s leads in t, with no link left in what exists. After
// an error the place is the best guess, or noSuchPath.
func (t tree) resolve(s string) (place string, err error) {
	w := t.walk(s)
	return w.at, w.err
}

// walk is one way through a tree.
type walk struct {
	at       string // as far as it came
	todo     string
	missing  int // components at the end of at that do not exist
	links    int
	followed []string // the links, by their places on the host
	steps    int
	looked   int   // bytes of the paths that the kernel was asked for
	err      error // why at is not sure
}

// walk follows s as the kernel would, component by component.
func (t tree) walk(s string) *walk {
	w := &walk{at: "/", todo: filepath.ToSlash(s)}
	for w.todo != "" {
		var name string
		name, w.todo, _ = strings.Cut(w.todo, "/")
		if name == "" || name == "." {
			continue
		}
		w.steps++
		if name == ".." {
			w.up(t)
		} else {
			w.down(t, name)
		}
		if errors.Is(w.err, errTooFar) || w.steps > maxSteps || w.links > maxLinks {
			w.at, w.err = noSuchPath, errTooFar
			return w
		}
	}
	return w
}

// up goes to the parent. Below a mount that can't be looked at, the place may
// have been a link.
func (w *walk) up(t tree) {
	if _, in := t.locate(w.at); in.source == "" && w.at != in.point && in.point != "/" {
		w.err = errKernelLink
	}
	w.at = path.Dir(w.at)
	w.missing = max(0, w.missing-1)
}

// down goes to name, or to where name leads. Below what does not exist nothing
// is asked for.
func (w *walk) down(t tree, name string) {
	next := path.Join(w.at, name)
	onHost, in := t.locate(next)
	if next == in.point {
		w.missing = 0 // the runtime makes mount points
	}
	if w.missing > 0 || len(next) > maxPathBytes {
		w.pass(next)
		return
	}
	if onHost == "" {
		w.at = next
		return
	}
	if !w.mayLook(t, onHost) {
		w.err = errTooFar
		return
	}
	if t.onLook != nil {
		if err := t.onLook(onHost, w.todo); err != nil {
			w.at, w.todo, w.err = path.Join(next, w.todo), "", err
			return
		}
	}
	target, err := os.Readlink(onHost)
	switch {
	case err == nil:
		w.follow(onHost, target)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		w.pass(next)
	default: // it exists and is no link, or can't be looked at
		w.at = next
	}
}

// pass goes to a place that does not exist.
func (w *walk) pass(next string) {
	w.at = next
	w.missing++
	if len(next) > maxPathBytes {
		w.err = errTooFar
	}
}

func (w *walk) follow(link, target string) {
	w.links++
	w.followed = append(w.followed, link)
	if isProcessLink(link) {
		w.err = errKernelLink
	}
	if path.IsAbs(target) {
		w.at = "/"
	}
	w.todo = target + "/" + w.todo
}

// mayLook charges the kernel's work for one path.
func (w *walk) mayLook(t tree, onHost string) bool {
	cost := len(onHost) + len(t.mounts)
	w.looked += cost
	if t.budget != nil {
		*t.budget -= cost
		if *t.budget < 0 {
			return false
		}
	}
	return w.looked <= maxLookBytes
}

// below returns the part of inside that follows directory, if it is at or below it.
func below(inside, directory string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(inside, directory)
	if !ok || rest != "" && rest[0] != '/' && directory != "/" {
		return "", false
	}
	return rest, true
}
