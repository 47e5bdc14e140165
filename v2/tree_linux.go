package v2

import (
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// isProcessLink reports whether link is in a proc file system, whose links
// each process sees differently, see proc(5).
func isProcessLink(link string) bool {
	var info unix.Statfs_t
	err := unix.Statfs(filepath.Dir(link), &info)
	return err != nil || info.Type == unix.PROC_SUPER_MAGIC
}

// isMountPoint reports whether something is mounted at a place of the host. It
// asks the kernel's list and no file system.
func isMountPoint(place string) bool {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(filepath.Clean(place)))
	return err == nil && len(found) > 0
}

// mountOf returns the mount that a place without links is on. It asks the
// kernel's list and no file system; of mounts on top of each other the last counts.
func mountOf(place string) (m mountOfHost) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return m
	}
	for _, info := range mounts {
		if _, ok := below(filepath.Clean(place), info.Mountpoint); ok && len(info.Mountpoint) >= len(m.point) {
			m = mountOfHost{id: info.ID, point: info.Mountpoint, kind: info.FSType}
		}
	}
	return m
}
