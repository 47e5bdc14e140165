// SPDX-License-Identifier: Apache-2.0

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

// Bounds of one walk through a tree. No image in use exceeds them; following a
// longer path would take seconds.
const (
	maxPathBytes = 4095    // PATH_MAX, without the byte at its end
	maxLinks     = 255     // runc's bound; Linux gives up at 40
	maxSteps     = 4096    // two paths of the greatest length
	maxLookBytes = 1 << 20 // the sum over all paths that the kernel is asked for
)

// maxSpecLookBytes bounds the sum of the paths inside that the kernel is asked for
// while one spec is made.
const maxSpecLookBytes = 4 << 20

// Bounds of walks through the host's tree. A path of the greatest length with names
// of one byte takes 4 MiB, so paths without links stay within the bounds.
const (
	maxHostLookBytes  = 8 << 20  // one walk
	maxGrantLookBytes = 32 << 20 // all walks of one check of a spec
)

// noSuchPath can't exist, because no file system accepts a name that long. The
// name explains the error to its users.
var noSuchPath = "/too-many-symbolic-links" + strings.Repeat("-", 255)

var (
	// errKernelLink reports a path through links that the kernel resolves
	// differently for each process, or through files that only the plugin will
	// see.
	errKernelLink = errors.New("resolves through magic links of the kernel and can't be verified")
	// errTooFar reports a path that exceeds one of the bounds.
	errTooFar = errors.New("has too many symbolic links or components, or is too long: shorten it")
)

// tree is the file system that a plugin sees: its rootfs and what is mounted
// over it. Paths inside are absolute, clean and have slashes. The zero tree is
// the host's.
type tree struct {
	rootfs string
	mounts []mounted // in the order they are made
	budget *int      // bytes that all walks together may still ask the kernel for; nil for no bound
	// onLook, if set, is called before the kernel is asked for a place, with the
	// place and the rest of the path. Its error ends the walk there.
	onLook func(onHost, rest string) error
	// likeRuntime, in the host's tree, follows links in /proc that lead the runtime
	// to the same place as the daemon.
	likeRuntime bool
}

// mounted hides the files at and below point.
type mounted struct {
	point  string
	source string // the path on the host of the files seen instead; empty if they do not exist yet
	kind   contents
}

type contents int

const (
	ownFiles  contents = iota // the plugin's files, or files that do not exist yet
	hostFiles                 // the host's files
	processes                 // a proc file system, with links to any place
	unknown                   // files that can't be known before the start
)

// onHost returns the host's path of inside; empty if it has none.
func (t tree) onHost(inside string) string {
	path, _ := t.locate(inside)
	return path
}

// locate returns the host's path of inside, and the mount that inside is on: the
// last that covers it.
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

// resolve returns the place in t that s leads to, with all existing links
// resolved. After an error the place is the best guess, or noSuchPath.
func (t tree) resolve(s string) (place string, err error) {
	w := t.walk(s)
	return w.at, w.err
}

// walk is the resolution of one path in a tree.
type walk struct {
	at       string // the place reached so far
	todo     string // the rest of the path
	missing  int    // components at the end of at that do not exist
	links    int
	followed []string // the links, by their places on the host
	steps    int
	looked   int   // bytes of the paths that the kernel was asked for
	err      error // why at is uncertain
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

// up goes to the parent. In a mount without a known source, the place can be a
// link: then the parent is uncertain.
func (w *walk) up(t tree) {
	if _, in := t.locate(w.at); in.source == "" && w.at != in.point && in.point != "/" {
		w.err = errKernelLink
	}
	w.at = path.Dir(w.at)
	w.missing = max(0, w.missing-1)
}

// down goes to name, or to the target of name. Below a component that does not
// exist the kernel is not asked.
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
		w.follow(t, onHost, target)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		w.pass(next)
	default: // it exists and is not a link, or can't be read
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

func (w *walk) follow(t tree, link, target string) {
	w.links++
	w.followed = append(w.followed, link)
	if isProcessLink(link) && !(t.likeRuntime && leadsAlike(link, target)) {
		w.err = errKernelLink
	}
	if path.IsAbs(target) {
		w.at = "/"
	}
	w.todo = target + "/" + w.todo
}

// leadsAlike reports whether a link in a proc file system has one target for the
// daemon and for the runtime: relative ones, such as /proc/self, stay in /proc, and
// both have the same root directory. The kernel mounts no source that is in another
// mount namespace, see https://man7.org/linux/man-pages/man2/mount.2.html.
func leadsAlike(link, target string) bool {
	if path.IsAbs(target) {
		return path.Base(link) == "root"
	}
	return !strings.Contains(target, ":[") // pipe:[1], net:[2]
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
	if t.rootfs == "" {
		return w.looked <= maxHostLookBytes
	}
	return w.looked <= maxLookBytes
}

// below returns the part of inside after directory, and reports whether inside is
// at or below directory.
func below(inside, directory string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(inside, directory)
	if !ok || rest != "" && rest[0] != '/' && directory != "/" {
		return "", false
	}
	return rest, true
}
