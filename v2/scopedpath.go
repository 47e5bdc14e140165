package v2

import (
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ScopedPath returns where the host finds what the plugin calls s: below the
// plugin's propagated-mount if s is at or below the config's PropagatedMount,
// else below its rootfs. Symbolic links are followed as the plugin would follow
// them, so neither they nor dots in s lead elsewhere; what does not exist is
// taken as it is written. Other mounts of the plugin are not looked through.
//
// The answer is about the moment: a plugin may plant a link afterwards. A path
// that leads through too many links or steps gives one that can't exist, and so
// does one for which a file system that the plugin serves or mounts has no answer
// within a second; the place where such a file system is mounted is found all the
// same. Without a Rootfs the plugin's tree is the host's.
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

// lookPatience is how long file systems may take to say what is a link.
var lookPatience = time.Second

// maxLooks is how many calls of ScopedPath for one plugin may wait for a file
// system.
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

	mu   sync.Mutex // guards what follows
	at   string     // the place of the host that is being looked at
	rest string     // what follows it
}

func (l *look) find(rootfs, mountpoint, s string) {
	view := tree{rootfs: rootfs, onLook: l.remember}
	if mountpoint != "" && rootfs != "" {
		// The runtime mounts where links in the rootfs lead.
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

// stuckAtMount returns the place that does not answer if it is the end of the
// path, and something is mounted there: that is no link.
func (l *look) stuckAtMount() (place string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, strings.Trim(l.rest, "/.") == "" && isMountPoint(l.at)
}

// propagatedMount returns the host's side of the propagated mount of the
// plugin whose rootfs is given.
func propagatedMount(rootfs string) string {
	return filepath.Join(filepath.Dir(rootfs), "propagated-mount")
}
