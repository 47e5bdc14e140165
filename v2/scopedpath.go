// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ScopedPath translates s, a path inside the plugin, to a path of the host:
// below the plugin's propagated-mount if s is at or below the config's
// PropagatedMount, else below its rootfs. It follows symbolic links like a
// process in the plugin, so neither links nor dots in s lead out of the plugin.
// Components that do not exist stay unchanged. Other mounts of the plugin are
// ignored. Without a Rootfs, ScopedPath resolves s on the host.
//
// The result holds at the time of the call: a plugin can create a link later.
// ScopedPath returns a path that can't exist if s leads through too many links
// or steps, or if a file system on the way, which the plugin may serve or mount,
// does not answer within a second. The mount point of such a file system is
// still found.
func (p *Plugin) ScopedPath(s string) string {
	p.mu.RLock()
	rootfs, mountpoint := p.Rootfs, p.PluginObj.Config.PropagatedMount
	p.mu.RUnlock()
	live := p.liveState()
	if !live.beginLook() {
		return filepath.FromSlash(rootfs + noSuchPath)
	}

	l := &look{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer live.endLook()
		l.find(rootfs, mountpoint, s)
	}()
	timer := time.NewTimer(lookPatience)
	defer timer.Stop()
	select {
	case <-l.done:
		return l.found
	case <-timer.C:
		if place, ok := l.stuckAtMount(); ok {
			return place
		}
		return filepath.FromSlash(rootfs + noSuchPath)
	}
}

// lookPatience is the time in which the file systems of a path must answer.
var lookPatience = time.Second

// maxLooks is how many calls of ScopedPath for one plugin can wait for file
// systems at a time.
const maxLooks = 16

func (r *liveState) beginLook() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looks == maxLooks {
		return false
	}
	r.looks++
	return true
}

func (r *liveState) endLook() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks--
}

// look is one search for a path, which may never end.
type look struct {
	done  chan struct{}
	found string // once done

	mu   sync.Mutex // guards at and rest
	at   string     // the place of the host that the kernel is asked for
	rest string     // the rest of the path
}

func (l *look) find(rootfs, mountpoint, s string) {
	view := tree{rootfs: rootfs, onLook: l.remember}
	if mountpoint != "" && rootfs != "" {
		// The runtime follows links in the rootfs to the mount point.
		point, _ := tree{rootfs: rootfs}.resolve(mountpoint)
		view.mounts = []mounted{{point: point, source: propagatedMount(rootfs)}}
	}
	place, _ := view.resolve(s)
	l.found = view.onHost(place)
}

func (l *look) remember(onHost, rest string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.rest = onHost, rest
	return nil
}

// stuckAtMount returns the place that does not answer, and reports whether it is
// the end of the path and a mount point: a mount point is not a link.
func (l *look) stuckAtMount() (place string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, strings.Trim(l.rest, "/.") == "" && isMountPoint(l.at)
}

// propagatedMount returns the source of the propagated mount on the host, next
// to the plugin's rootfs.
func propagatedMount(rootfs string) string {
	return filepath.Join(filepath.Dir(rootfs), "propagated-mount")
}
