// Package v2 is the live handle of one plugin.
//
// A [Plugin] joins three things. Its exported fields are the plugin's record,
// the description that outlives the daemon: config, settings, digests, where
// the rootfs is, and whether the plugin is wished to be enabled. Its runtime
// state, which does not outlive the daemon, is the reference count, the client
// and address of the running process, the call timeout and the spec modifier.
// And it knows how to turn both into something to run: [Plugin.InitSpec] makes
// the OCI spec, [Plugin.Set] applies what a user wants different, and
// [Plugin.ScopedPath] finds on the host what the plugin calls by a path.
//
// # Records and settings
//
// Config is what the author of a plugin wrote and never changes while the
// plugin is installed. Settings start as a copy of the values in it
// ([Plugin.InitEmptySettings]) and are the only part that a user can change.
// The spec is made from Settings where they say something, else from Config.
//
// # Concurrency
//
// Every method is safe for concurrent use. The exported fields are plain
// memory, as they are in docker, and other code reads them without a lock; so
// methods never edit a slice, map or pointed-to value of a published record:
// they build a new one and replace it. Who needs a consistent view takes
// [Plugin.Snapshot] or [Plugin.Clone].
//
// The zero Plugin and composite literals made elsewhere are ready to use.
//
// # The host's files
//
// Runtimes make what a spec needs and the rootfs lacks: mount points, device
// nodes, the working directory. They stay in the rootfs, unless a directory of
// the host is mounted there: then the host gets them. What is mounted in a
// directory of the host appears on the host as well if the rootfs is shared, as
// a propagated mount needs it. Where /dev is a link, runc 1.1.5 removes and
// makes files wherever that leads. Advisories of runc are about mounts that were
// redirected in such ways: https://github.com/opencontainers/runc/security/advisories.
// [Plugin.InitSpec] therefore follows what a runtime will do, through
// every link, and refuses a spec with which the host's files would change.
//
// # Identity with docker
//
// Names, signatures and JSON keys are those of docker 28's package of the same
// name. Records written by either are read by the other.
package v2
