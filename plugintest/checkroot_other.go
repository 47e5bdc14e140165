// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package plugintest

// checkHost does nothing, because managed plugins run on Linux only.
func (c *rootChecker) checkHost() {}
