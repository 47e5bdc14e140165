//go:build !linux

package v2

// isProcessLink knows no proc file system.
func isProcessLink(string) bool { return false }

// isMountPoint knows no mounts.
func isMountPoint(string) bool { return false }
