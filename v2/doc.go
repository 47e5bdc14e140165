// SPDX-License-Identifier: Apache-2.0

// Package v2 is the live handle of one plugin.
//
// A [Plugin] joins three things. Its exported fields are the plugin's record,
// which outlives the daemon: config, settings, digests, the path of the rootfs,
// and the desired state (enabled or disabled). Its runtime state, which does
// not outlive the daemon, is the reference count, the client and address of
// the running process, the call timeout and the spec modifier. Its methods turn
// both into a process: [Plugin.InitSpec] makes the OCI spec, [Plugin.Set]
// changes settings, and [Plugin.ScopedPath] translates a path inside the plugin
// to a path of the host.
//
// # Records and settings
//
// Config is written by the plugin's author and never changes while the plugin
// is installed. Settings start as a copy of the values in Config
// ([Plugin.InitEmptySettings]) and are the only part that a user can change.
// The spec is made from Settings; Config fills what they leave out.
//
// # Concurrency
//
// Every method is safe for concurrent use. The exported fields are plain
// memory, as in docker, and other code reads them without a lock. Methods
// therefore never edit a slice, map or pointed-to value of a published record:
// they build a new one and replace it. Use [Plugin.Snapshot] or [Plugin.Clone]
// for a consistent view.
//
// The zero Plugin and composite literals made elsewhere are ready to use.
//
// # The host's files
//
// Runtimes create what a spec needs and the rootfs lacks: mount points, device
// nodes, the working directory. These files stay in the rootfs, except below a
// mounted directory of the host: there they appear on the host. A mount in a
// directory of the host also appears on the host if the rootfs is shared, which
// a propagated mount requires. Where /dev is a link, runc 1.1.5 removes and
// creates files at the link's target. Several advisories of runc concern mounts
// that were redirected in such ways:
// https://github.com/opencontainers/runc/security/advisories.
// [Plugin.InitSpec] therefore follows the runtime's steps through every link,
// and refuses a spec that would change the host's files.
//
// # Identity with docker
//
// Names, signatures and JSON keys are those of docker 28's package of the same
// name. Each reads the records that the other writes.
package v2
