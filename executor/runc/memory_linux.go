// SPDX-License-Identifier: Apache-2.0

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

// oomWatch finds out whether the OOM killer ended a process. The cgroup counts
// such kills, but the runtime removes it soon after the end. The kernel's log
// lists them, but reading it needs privileges. oomWatch reads both.
type oomWatch struct {
	pid     int
	counter string
	since   time.Duration
	counted bool
}

// watchOOM begins to watch process pid.
func watchOOM(pid int) *oomWatch {
	w := &oomWatch{pid: pid, counter: oomFile(pid), since: uptime()}
	// The counter of a cgroup that we share counts other processes also.
	if w.counter == oomFile(os.Getpid()) {
		w.counter = ""
	}
	return w
}

// look reads the counter before the runtime removes it: oom_kill in
// memory.oom_control of cgroup v1 or memory.events of cgroup v2. See
// https://docs.kernel.org/admin-guide/cgroup-v2.html.
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

// killed reports whether the OOM killer ended the process, which must have ended
// by a SIGKILL that this executor did not send.
func (w *oomWatch) killed() bool { return w.counted || killedSays(kmsg, w.pid, w.since) }

// oomFile returns the file with the counter of process pid, empty if there is none.
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

// cgroupMount is the mount of a hierarchy, or of the part of it below root.
type cgroupMount struct{ mountpoint, root string }

func (m cgroupMount) file(cgroup, name string) string {
	inMount, err := filepath.Rel(m.root, cgroup)
	if m.mountpoint == "" || err != nil {
		return ""
	}
	return filepath.Join(m.mountpoint, inMount, name)
}

// memoryMounts returns the mounts of the hierarchies that count memory. They don't
// change while a system runs.
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
