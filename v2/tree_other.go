//go:build !linux

package v2

// isProcessLink knows no proc file system.
func isProcessLink(string) bool { return false }

// mountOf knows no mounts.
func mountOf(string) mountOfHost { return mountOfHost{} }

// isMountPoint knows no mounts.
func isMountPoint(string) bool { return false }
