// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package diagnose

// Cause returns "": plugins start on Linux only.
func Cause(Plugin) string { return "" }
