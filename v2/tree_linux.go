// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// isProcessLink reports whether link is in a proc file system, where each process
// sees different links: https://man7.org/linux/man-pages/man5/proc.5.html.
func isProcessLink(link string) bool {
	var info unix.Statfs_t
	err := unix.Statfs(filepath.Dir(link), &info)
	return err != nil || info.Type == unix.PROC_SUPER_MAGIC
}

// isMountPoint reports whether a place of the host is a mount point. It reads the
// kernel's list of mounts and asks no file system.
func isMountPoint(place string) bool {
	found, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(filepath.Clean(place)))
	return err == nil && len(found) > 0
}

// mountFinder reads the list of mounts.
func mountFinder() finder {
	table := new(mountTable)
	table.byParent()
	return func(place string) (m mountOfHost) {
		if on := table.at(place); on != nil {
			m = mountOfHost{id: on.ID, point: on.Mountpoint, kind: on.FSType}
		}
		return m
	}
}
