// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/legacyroot"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// RegistryError describes the failure of a request to a registry. It is
// embedded in [UnauthorizedError], [ForbiddenError], [RegistryNotFoundError],
// [RateLimitError], [RegistryUnavailableError] and [RegistryRefusedError], and
// [errors.As] finds it in all of them.
type RegistryError struct {
	// Op is "pull" or "push", and Reference the plugin's reference.
	Op, Reference string
	// Host is the server that refused: the registry, a mirror or a token server.
	Host string
	// Err is the server's answer, or the failure of the connection.
	Err error
}

func (e *RegistryError) Error() string { return (*remote.RequestError)(e).Error() }

// Unwrap returns the server's answer, or the failure of the connection.
func (e *RegistryError) Unwrap() error { return e.Err }

// As sets target to e if it is a **RegistryError.
func (e *RegistryError) As(target any) bool {
	base, ok := target.(**RegistryError)
	if ok {
		*base = e
	}
	return ok
}

// UnauthorizedError reports that the registry does not accept the account, or
// the lack of one (status 401). Some registries also return it for plugins that
// do not exist. Class Unauthorized.
type UnauthorizedError struct{ RegistryError }

// Unauthorized marks the error's class.
func (*UnauthorizedError) Unauthorized() {}

// ForbiddenError reports that the account lacks the permission (status 403).
// Class Forbidden.
type ForbiddenError struct{ RegistryError }

// Forbidden marks the error's class.
func (*ForbiddenError) Forbidden() {}

// RegistryNotFoundError reports that the registry has no such plugin (status
// 404). Class NotFound.
type RegistryNotFoundError struct{ RegistryError }

// NotFound marks the error's class.
func (*RegistryNotFoundError) NotFound() {}

// RateLimitError reports that the registry demands a longer wait than a verb
// accepts (status 429). Class Unavailable.
type RateLimitError struct {
	RegistryError
	// RetryAfter is the wait that the registry demands.
	RetryAfter time.Duration
}

// Unavailable marks the error's class.
func (*RateLimitError) Unavailable() {}

// RegistryUnavailableError reports that the registry failed (status 5xx), can't
// be reached or stopped sending. Class Unavailable.
type RegistryUnavailableError struct{ RegistryError }

// Unavailable marks the error's class.
func (*RegistryUnavailableError) Unavailable() {}

// RegistryRefusedError reports any other status that a registry should not
// return. Class System.
type RegistryRefusedError struct{ RegistryError }

// System marks the error's class.
func (*RegistryRefusedError) System() {}

// StalledError reports a registry, or a server that it redirects to, that is
// too slow. Class Unavailable.
type StalledError struct {
	Host string // the server
	// Timeout is how long the manager waited for the server.
	Timeout time.Duration
	What    string // the server's behaviour in that time, such as "sent nothing"
}

func (e *StalledError) Error() string {
	return (&remote.StalledError{Host: e.Host, Timeout: e.Timeout, What: e.What}).Error()
}

// Unavailable marks the error's class.
func (*StalledError) Unavailable() {}

// ProtocolError reports an answer of a registry that breaks the protocol. Class
// System.
type ProtocolError struct {
	Host string // the server
	Why  string // what is wrong with the answer
}

func (e *ProtocolError) Error() string { return (*remote.ProtocolError)(e).Error() }

// System marks the error's class.
func (*ProtocolError) System() {}

// RedirectError refuses to follow a registry, or its token server, to another
// address: from TLS to plain HTTP, to a scheme other than HTTP, or with a
// request that would take a secret along or lose its body. Class System.
type RedirectError struct {
	// From and To are scheme and host of the addresses. The rest is left out
	// because it can be a secret.
	From, To string
	Why      string // the reason of the refusal
}

func (e *RedirectError) Error() string { return (*remote.RedirectError)(e).Error() }

// System marks the error's class.
func (*RedirectError) System() {}

// ResolverError reports that a method of [ManagerConfig.RegistryService] did
// not return in time, or panicked. Class System.
type ResolverError struct {
	// Host is the registry that was looked up.
	Host string
	Why  string // what the method did
}

func (e *ResolverError) Error() string { return (*remote.ResolverError)(e).Error() }

// System marks the error's class.
func (*ResolverError) System() {}

// SilentClientError reports a build context that sent nothing for some time.
// Class InvalidParameter.
type SilentClientError struct {
	// Patience is how long the manager waited for the client.
	Patience time.Duration
}

func (e *SilentClientError) Error() string { return (*bounded.SilentError)(e).Error() }

// InvalidParameter marks the error's class.
func (*SilentClientError) InvalidParameter() {}

// MediaTypeError refuses to pull what is not a plugin: a manifest, config or
// layer of an unknown type. Class InvalidParameter.
type MediaTypeError struct {
	What string // "manifest", "config" or "layer"
	Type string // its media type
	// Why explains the refusal; it can be empty.
	Why string
}

func (e *MediaTypeError) Error() string {
	return (&remote.UnsupportedError{What: e.What, Type: e.Type, Why: e.Why}).Error()
}

// InvalidParameter marks the error's class.
func (*MediaTypeError) InvalidParameter() {}

// PlatformError reports that a multi-platform plugin has no variant for this
// host. Class NotFound.
type PlatformError struct {
	// Want is this host's platform, and Available those of the variants.
	Want      string
	Available []string
}

func (e *PlatformError) Error() string { return (*remote.PlatformError)(e).Error() }

// NotFound marks the error's class.
func (*PlatformError) NotFound() {}

// MissingBlobError refuses to push a plugin because the local store lacks a
// part of it: an earlier manager deleted the part or did not record it. An
// upgrade to the installed version fetches it again. Class NotFound.
type MissingBlobError struct {
	What string // "manifest", "config" or "layer"
	// Digest is empty if the record does not have it.
	Digest digest.Digest
}

func (e *MissingBlobError) Error() string { return (*remote.MissingError)(e).Error() }

// NotFound marks the error's class.
func (*MissingBlobError) NotFound() {}

// BlobStoreError reports that the local store of blobs failed during a pull or
// push. Class System.
type BlobStoreError struct {
	Err error // the error of the store
}

func (e *BlobStoreError) Error() string { return (*remote.StoreError)(e).Error() }

// Unwrap returns the error of the store.
func (e *BlobStoreError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*BlobStoreError) System() {}

// ArchiveEntryError refuses a build context or a layer because of one of its
// entries. Class InvalidParameter.
type ArchiveEntryError struct {
	// Entry is the name of the entry in the archive.
	Entry  string
	Reason string // the problem
}

func (e *ArchiveEntryError) Error() string { return (*rootfs.EntryError)(e).Error() }

// InvalidParameter marks the error's class.
func (*ArchiveEntryError) InvalidParameter() {}

// ArchiveError refuses a build context or a layer that is not an archive, or
// is truncated. Class InvalidParameter.
type ArchiveError struct {
	Err error // the error of the decoder
}

func (e *ArchiveError) Error() string { return (*rootfs.FormatError)(e).Error() }

// Unwrap returns the error of the decoder.
func (e *ArchiveError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*ArchiveError) InvalidParameter() {}

// BuildContextError refuses a build context that is a valid archive but not a
// plugin. Class InvalidParameter.
type BuildContextError struct {
	Reason string // the problem, such as "config.json is missing"
}

func (e *BuildContextError) Error() string { return (*rootfs.ContextError)(e).Error() }

// InvalidParameter marks the error's class.
func (*BuildContextError) InvalidParameter() {}

// UnpackError reports that the host could not write an entry of an archive, for
// example because the disk is full. Class System.
type UnpackError struct {
	// Op is the operation that failed on Entry.
	Op, Entry string
	Err       error // the error of the file system
}

func (e *UnpackError) Error() string { return (*rootfs.SystemError)(e).Error() }

// Unwrap returns the error of the file system.
func (e *UnpackError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*UnpackError) System() {}

// BlobWriteError reports that the host could not write a blob, for example
// because the disk is full. Class System.
type BlobWriteError struct {
	Err error // the error of the file system
}

func (e *BlobWriteError) Error() string { return (*blobs.WriteError)(e).Error() }

// Unwrap returns the error of the file system.
func (e *BlobWriteError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*BlobWriteError) System() {}

// BlobSizeError refuses a stored blob that is larger than what a verb reads
// into memory. Class InvalidParameter.
type BlobSizeError struct {
	Digest digest.Digest // of the blob
	// Size and Limit are in bytes.
	Size, Limit int64
}

func (e *BlobSizeError) Error() string { return (*blobs.TooLargeError)(e).Error() }

// InvalidParameter marks the error's class.
func (*BlobSizeError) InvalidParameter() {}

// CorruptBlobError reports a stored blob whose bytes do not match its digest.
// Class DataLoss.
type CorruptBlobError struct {
	Digest digest.Digest // of the blob, which its bytes do not have
}

func (e *CorruptBlobError) Error() string { return (*blobs.CorruptError)(e).Error() }

// DataLoss marks the error's class.
func (*CorruptBlobError) DataLoss() {}

// WrongContentError refuses a download that does not match the requested digest
// or size. Class DataLoss.
type WrongContentError struct {
	// Digest and Size describe the requested content.
	Digest digest.Digest
	Size   int64
	// GotDigest and GotSize describe the received content. GotDigest is only
	// known if the sizes are equal.
	GotDigest digest.Digest
	GotSize   int64
}

func (e *WrongContentError) Error() string {
	return (&blobs.WrongContentError{Want: blobs.Blob{Digest: e.Digest, Size: e.Size}, Got: blobs.Blob{Digest: e.GotDigest, Size: e.GotSize}}).Error()
}

// DataLoss marks the error's class.
func (*WrongContentError) DataLoss() {}

// DescriptorError refuses a manifest that gives content another size than it
// has. Class InvalidParameter.
type DescriptorError struct {
	Digest digest.Digest // of the content
	// Described is the size in the manifest, and Size that of the content.
	Described, Size int64
}

func (e *DescriptorError) Error() string {
	return (&blobs.DescriptorError{Described: blobs.Blob{Digest: e.Digest, Size: e.Described}, Size: e.Size}).Error()
}

// InvalidParameter marks the error's class.
func (*DescriptorError) InvalidParameter() {}

// MountedError refuses to delete a directory that has mounts below it. Class
// Conflict.
type MountedError struct {
	Path string // the directory
	// Mounts are the mount points below Path.
	Mounts []string
}

func (e *MountedError) Error() string { return (*durable.MountedError)(e).Error() }

// Conflict marks the error's class.
func (*MountedError) Conflict() {}

// UnsettledRemovalError reports that a plugin was removed, but that a power cut
// can bring it back. Class System.
type UnsettledRemovalError struct {
	Err error // the error of the file system
}

func (e *UnsettledRemovalError) Error() string { return (*layout.UnsettledError)(e).Error() }

// Unwrap returns the error of the file system.
func (e *UnsettledRemovalError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*UnsettledRemovalError) System() {}

// InterruptedUpgradeError reports an upgrade that could be neither completed nor
// undone. The next NewManager on the same root completes it. Class System.
type InterruptedUpgradeError struct {
	Err error // the error of the file system
}

func (e *InterruptedUpgradeError) Error() string { return (*layout.InterruptedError)(e).Error() }

// Unwrap returns the error of the file system.
func (e *InterruptedUpgradeError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*InterruptedUpgradeError) System() {}

// BackupError refuses a plugin when docker's package was interrupted during an
// upgrade of it, and the disk does not show whether the record belongs to its
// rootfs or to the backup. Neither is changed. Class System.
type BackupError struct {
	// Rootfs and Backup are the two directories.
	Rootfs, Backup string
	// Err is the cause; it can be nil.
	Err error
}

func (e *BackupError) Error() string { return (*layout.BackupError)(e).Error() }

// Unwrap returns the cause.
func (e *BackupError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*BackupError) System() {}

// ImportError reports a plugin of docker 1.12 that can't be imported as it is. Its
// files are unchanged. Class InvalidParameter.
type ImportError struct {
	// ID is the plugin's ID in the inventory, or the name of its directory.
	ID string
	// File is the name of the file with the problem; empty for the directory.
	File string
	Err  error // the problem
}

func (e *ImportError) Error() string { return (*legacyroot.EntryError)(e).Error() }

// Unwrap returns the problem.
func (e *ImportError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*ImportError) InvalidParameter() {}

// InventoryError reports an inventory of docker 1.12 that can't be read. Class
// InvalidParameter.
type InventoryError struct {
	// Path is the file.
	Path string
	Err  error // the problem
}

func (e *InventoryError) Error() string { return (*legacyroot.InventoryError)(e).Error() }

// Unwrap returns the problem.
func (e *InventoryError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*InventoryError) InvalidParameter() {}
