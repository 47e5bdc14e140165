// SPDX-License-Identifier: Apache-2.0

// Package rootfs turns archives into root file systems. [Split] splits a build
// context into config, rootfs and layer. An [Unpacker] unpacks the layers of a
// pulled plugin over each other.
//
// Archives are untrusted. An [Unpacker] is confined to one directory: the
// kernel resolves every name inside it (openat2(2) with RESOLVE_BENEATH, see
// https://man7.org/linux/man-pages/man2/openat2.2.html). No entry, symbolic
// links included, can write, link, change or delete anything elsewhere.
// [Limits] bound what an archive may cost. An archive that breaks a rule is
// refused with a typed error of class InvalidParameter that names the entry.
// The entries unpacked before the error stay in the directory, which the
// caller discards.
//
// Devices, fifos and set-id bits are unpacked as the archive has them, like
// docker does. They lie below a directory that only root can enter, and the
// plugin's config and grants decide which devices it may open when it runs. In
// a user namespace, where the kernel forbids making devices, devices are
// skipped. Extended attributes that the file system does not support are
// skipped, and so are those of the namespace trusted, which belongs to the
// host.
//
// The result equals that of containerd's own apply, with two exceptions: an
// opaque directory never hides entries of the same layer, and sparse files of
// the old GNU format are written instead of refused.
//
// The work is a pipeline. The caller's goroutine reads and inflates the source,
// a second one hashes it, and a third one writes the files. Compression, and
// layers that are inflated ahead, use all cores. Buffers are bounded and don't
// grow with the archive; memory beyond them is shared by all archives through a
// [Budget].
package rootfs
