package v2

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks is the number of symbolic links that may be followed in one path.
// Linux gives up at 40.
const maxLinks = 255

// noSuchPath can't exist, for no file system takes a name that long; using it
// says what was wrong.
var noSuchPath = "too-many-symbolic-links" + strings.Repeat("-", 255)

// ScopedPath returns where the host finds what the plugin calls s: below the
// plugin's propagated-mount if s is at or below the config's PropagatedMount,
// else below its rootfs. Symbolic links are followed as the plugin would follow
// them, so neither they nor dots in s lead elsewhere; what does not exist is
// taken as it is written. A path of endless links gives one that can't exist.
// Other mounts of the plugin are not looked through.
//
// The answer is about the moment: a plugin may plant a link afterwards. The
// call reads links, so it is as slow as the file system is. Without a Rootfs
// the plugin's tree is the host's.
func (p *Plugin) ScopedPath(s string) string {
	p.mu.RLock()
	rootfs, mountpoint := p.Rootfs, p.PluginObj.Config.PropagatedMount
	p.mu.RUnlock()

	view := tree{rootfs: rootfs}
	if mountpoint != "" && rootfs != "" {
		// The runtime mounts where links in the rootfs lead.
		view.mountpoint = tree{rootfs: rootfs}.resolve(mountpoint)
		view.propagated = propagatedMount(rootfs)
	}
	return view.onHost(view.resolve(s))
}

// propagatedMount returns the host's side of the propagated mount of the
// plugin whose rootfs is given.
func propagatedMount(rootfs string) string {
	return filepath.Join(filepath.Dir(rootfs), "propagated-mount")
}

// tree is the file system that a plugin sees: its rootfs and, at mountpoint,
// the directory propagated. Paths inside are absolute, clean and have slashes.
type tree struct {
	rootfs     string
	mountpoint string // empty for none
	propagated string
}

// onHost returns the host's path of inside.
func (t tree) onHost(inside string) string {
	if t.mountpoint != "" {
		if rest, ok := below(inside, t.mountpoint); ok {
			return filepath.Join(t.propagated, filepath.FromSlash(rest))
		}
	}
	if t.rootfs == "" {
		return filepath.FromSlash(inside)
	}
	return filepath.Join(t.rootfs, filepath.FromSlash(inside))
}

// resolve returns where s leads in t, with no link left in what exists.
func (t tree) resolve(s string) string {
	done, todo, links := "/", filepath.ToSlash(s), 0
	for todo != "" {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		next := path.Join(done, name)
		if name == "" || name == "." || name == ".." {
			done = next
			continue
		}
		target, err := os.Readlink(t.onHost(next))
		if err != nil { // not a link, or nothing that could be followed
			done = next
			continue
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
