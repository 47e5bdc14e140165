package v2

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// isProcessLink reports whether link is in a proc file system, whose links
// each process sees differently, see proc(5).
func isProcessLink(link string) bool {
	var info unix.Statfs_t
	err := unix.Statfs(filepath.Dir(link), &info)
	return err != nil || info.Type == unix.PROC_SUPER_MAGIC
}
