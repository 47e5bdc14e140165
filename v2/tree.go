package v2

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks is the number of symbolic links that may be followed in one path.
// Linux gives up at 40.
const maxLinks = 255

// noSuchPath can't exist, for no file system takes a name that long; using it
// says what was wrong.
var noSuchPath = "too-many-symbolic-links" + strings.Repeat("-", 255)

// tree is the file system that a plugin sees: its rootfs and what is mounted
// over it. Paths inside are absolute, clean and have slashes.
type tree struct {
	rootfs string
	mounts []mounted // in the order they are made
	// onLink, if set, is told the host's path of each link that is followed,
	// and onUp of each place that is left by two dots.
	onLink func(onHost string)
	onUp   func(inside string)
}

// mounted hides what is at and below point.
type mounted struct {
	point  string
	source string // the host's path of what is seen instead; empty for what is not there yet
	kind   contents
}

type contents int

const (
	ownFiles  contents = iota // the plugin's, or nobody's yet
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

// resolve returns where s leads in t, with no link left in what exists.
func (t tree) resolve(s string) string {
	done, todo, links := "/", filepath.ToSlash(s), 0
	for todo != "" {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		next := path.Join(done, name)
		if name == ".." && t.onUp != nil {
			t.onUp(done)
		}
		if name == "" || name == "." || name == ".." {
			done = next
			continue
		}
		onHost := t.onHost(next)
		target, err := os.Readlink(onHost)
		if err != nil { // not a link, or nothing that could be followed
			done = next
			continue
		}
		if t.onLink != nil {
			t.onLink(onHost)
		}
		if links++; links > maxLinks {
			return path.Join("/", noSuchPath)
		}
		if path.IsAbs(target) {
			done = "/"
		}
		todo = target + "/" + todo
	}
	return done
}

// below returns the part of inside that follows directory, if it is at or below it.
func below(inside, directory string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(inside, directory)
	if !ok || rest != "" && rest[0] != '/' && directory != "/" {
		return "", false
	}
	return rest, true
}
