//go:build !linux

package plugintest

// checkHost has nothing to look for: managed plugins run on Linux.
func (c *rootChecker) checkHost() {}
