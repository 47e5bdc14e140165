package runc

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
)

// oomWatch tells whether the kernel has killed a process for want of memory.
// Its cgroup has counted that, but the runtime removes the cgroup soon after
// the end; the kernel's log keeps it, but not everybody may read that. Asking
// both is the best that can be done.
type oomWatch struct {
	pid     int
	counter string
	since   time.Duration
	counted bool
}

// watchOOM begins to watch process pid.
func watchOOM(pid int) *oomWatch {
	w := &oomWatch{pid: pid, counter: oomFile(pid), since: uptime()}
	// A cgroup that we share says nothing about the process alone.
	if w.counter == oomFile(os.Getpid()) {
		w.counter = ""
	}
	return w
}

// look reads the counter, which is there now and perhaps no more in a moment:
// oom_kill in memory.oom_control of cgroup v1 or memory.events of cgroup v2.
func (w *oomWatch) look() {
	content, err := os.ReadFile(w.counter)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(content)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			w.counted = count != "0"
		}
	}
}

// killed tells about a process that ended by SIGKILL from elsewhere.
func (w *oomWatch) killed() bool { return w.counted || killedSays(kmsg, w.pid, w.since) }

// oomFile finds the file that counts for process pid, empty if there is none.
func oomFile(pid int) string {
	groups := membership(pid)
	for controllers, path := range groups {
		if slices.Contains(strings.Split(controllers, ","), "memory") {
			return memoryMounts().v1.file(path, "memory.oom_control")
		}
	}
	path, ok := groups[""]
	if !ok {
		return ""
	}
	return memoryMounts().v2.file(path, "memory.events")
}

// cgroupMount is where a hierarchy is mounted, and which part of it.
type cgroupMount struct{ mountpoint, root string }

func (m cgroupMount) file(cgroup, name string) string {
	inMount, err := filepath.Rel(m.root, cgroup)
	if m.mountpoint == "" || err != nil {
		return ""
	}
	return filepath.Join(m.mountpoint, inMount, name)
}

// memoryMounts finds the hierarchies that count memory. They don't change
// while a system runs.
var memoryMounts = sync.OnceValue(func() (found struct{ v1, v2 cgroupMount }) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return found
	}
	for _, mount := range mounts {
		switch {
		case mount.FSType == "cgroup2":
			found.v2 = cgroupMount{mount.Mountpoint, mount.Root}
		case slices.Contains(strings.Split(mount.VFSOptions, ","), "memory"):
			found.v1 = cgroupMount{mount.Mountpoint, mount.Root}
		}
	}
	return found
})
