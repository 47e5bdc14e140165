// Package rootfs turns archives into root file systems: it splits a build
// context into config, rootfs and layer, and it unpacks the layers of a pulled
// plugin over each other.
//
// Archives are somebody else's bytes. An [Unpacker] is confined: every name is
// resolved by the kernel inside one directory (openat2 with RESOLVE_BENEATH),
// and what an archive brings along, symbolic links included, never makes it
// write, link, change or delete anything elsewhere. [Limits] bound what an
// archive may cost. An archive that breaks a rule is refused with a typed error
// of class InvalidParameter that names the entry; what was unpacked until then
// stays in the directory, which the caller throws away.
//
// Devices, fifos and set-id bits are unpacked as the archive has them, as docker
// does: they are the plugin's own, below a directory that only root enters, and
// which devices a plugin may open is decided when it runs, by its config and the
// grants for it. In a user namespace, where nobody can make devices, they are
// left out. Attributes that the file system can't hold are left out, too, and
// so are those of the namespace trusted, which are the host's.
//
// Layers come out as containerd's own apply leaves them, with two exceptions:
// an opaque directory never hides what its own layer put into it, and sparse
// files of the old GNU form are written instead of refused.
//
// The work is a pipeline: the source is read, and inflated, on the caller's
// goroutine, hashed on a second one, and written to files on a third;
// compression, and layers that are inflated ahead, use all cores. Buffers are
// bounded and don't grow with the archive; what several archives need beyond
// that is shared through a [Budget].
package rootfs
