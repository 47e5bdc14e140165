// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package v2

// isProcessLink knows no proc file system.
func isProcessLink(string) bool { return false }

// mountFinder knows no mounts.
func mountFinder() finder {
	return func(string) mountOfHost { return mountOfHost{} }
}

// isMountPoint knows no mounts.
func isMountPoint(string) bool { return false }
