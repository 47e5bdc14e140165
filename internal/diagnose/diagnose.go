// SPDX-License-Identifier: Apache-2.0

// Package diagnose finds out why a plugin did not start: a mount without its
// source, an entrypoint that is missing, not executable or built for another
// machine, an interpreter that the rootfs lacks, a file system that is mounted
// noexec. It reads files and changes none.
package diagnose

import "github.com/docker/docker/api/types"

// Plugin is a plugin that did not start.
type Plugin struct {
	types.Plugin
	// Rootfs is its root directory on the host.
	Rootfs string
	// OnHost returns where on the host a path of the plugin leads.
	OnHost func(inPlugin string) string
}
