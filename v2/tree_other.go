//go:build !linux

package v2

// isProcessLink knows no proc file system.
func isProcessLink(string) bool { return false }
