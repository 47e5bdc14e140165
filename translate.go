// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"reflect"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/legacyroot"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// plain prepares an error for the caller of a verb: its text is safe to print,
// and errors.As finds the types of this package in it.
func plain(err *error) { *err = plaintext.Error(translate(*err)) }

// translate adds to an error of the rooms below the types of this package that
// describe it. The text and the class stay, except that a limit is named.
func translate(err error) error {
	if err == nil || errors.As(err, new(*translatedError)) {
		return err
	}
	if !errors.As(err, new(*LimitError)) {
		err = asLimit(err)
	}
	var public []error
	for _, row := range translations {
		if translated := row(err); translated != nil {
			public = append(public, translated)
		}
	}
	if len(public) == 0 {
		return err
	}
	return &translatedError{err, public}
}

// translatedError is an error that errors.As also finds as each of public.
type translatedError struct {
	error
	public []error
}

func (e *translatedError) Error() string { return plaintext.Lines(e.error.Error()) }

func (e *translatedError) Unwrap() error { return e.error }

// As ignores interfaces, such as those of classes: there the outermost error
// decides.
func (e *translatedError) As(target any) bool {
	if reflect.TypeOf(target).Elem().Kind() == reflect.Interface {
		return false
	}
	for _, public := range e.public {
		if errors.As(public, target) {
			return true
		}
	}
	return false
}

// translations has a row for each exported error type of the rooms below that
// a verb can return. internal/archtest compares both.
var translations = []func(error) error{
	row(func(e *layout.LockedError) error { return (*RootInUseError)(e) }),
	row(func(e *layout.FencedError) error { return (*FencedError)(e) }),
	row(func(e *layout.UnsettledError) error { return (*UnsettledRemovalError)(e) }),
	row(func(e *layout.InterruptedError) error { return (*InterruptedUpgradeError)(e) }),
	row(func(e *layout.BackupError) error { return (*BackupError)(e) }),
	row(func(e *durable.MountedError) error { return (*MountedError)(e) }),
	row(func(e *privilege.MismatchError) error { return (*PrivilegesError)(e) }),
	row(func(e *lifecycle.ImpossibleError) error {
		return &StateError{Event: e.Event.String(), State: e.From.String()}
	}),

	row(func(e *rootfs.EntryError) error { return (*ArchiveEntryError)(e) }),
	row(func(e *rootfs.FormatError) error { return (*ArchiveError)(e) }),
	row(func(e *rootfs.ContextError) error { return (*BuildContextError)(e) }),
	row(func(e *rootfs.SystemError) error { return (*UnpackError)(e) }),

	row(func(e *distribution.MismatchError) error { return &InvalidError{What: "plugin", Err: e.Err} }),
	row(func(e *imagefile.InvalidError) error { return &InvalidError{What: "image", Err: e.Err} }),

	row(func(e *legacyroot.EntryError) error { return (*ImportError)(e) }),
	row(func(e *legacyroot.InventoryError) error { return (*InventoryError)(e) }),

	row(func(e *blobs.WriteError) error { return (*BlobWriteError)(e) }),
	row(func(e *blobs.TooLargeError) error { return (*BlobSizeError)(e) }),
	row(func(e *blobs.CorruptError) error { return (*CorruptBlobError)(e) }),
	row(func(e *blobs.WrongContentError) error {
		return &WrongContentError{Digest: e.Want.Digest, Size: e.Want.Size, GotDigest: e.Got.Digest, GotSize: e.Got.Size}
	}),
	row(func(e *blobs.DescriptorError) error {
		return &DescriptorError{Digest: e.Described.Digest, Described: e.Described.Size, Size: e.Size}
	}),

	row(func(e *remote.UnauthorizedError) error { return &UnauthorizedError{RegistryError(e.RequestError)} }),
	row(func(e *remote.ForbiddenError) error { return &ForbiddenError{RegistryError(e.RequestError)} }),
	row(func(e *remote.NotFoundError) error { return &RegistryNotFoundError{RegistryError(e.RequestError)} }),
	row(func(e *remote.RateLimitError) error {
		return &RateLimitError{RegistryError: RegistryError(e.RequestError), RetryAfter: e.RetryAfter}
	}),
	row(func(e *remote.UnavailableError) error {
		return &RegistryUnavailableError{RegistryError(e.RequestError)}
	}),
	row(func(e *remote.RefusedError) error { return &RegistryRefusedError{RegistryError(e.RequestError)} }),
	row(func(e *remote.StalledError) error {
		return &StalledError{Host: e.Host, Timeout: e.Timeout, What: e.What}
	}),
	row(func(e *remote.ProtocolError) error { return (*ProtocolError)(e) }),
	row(func(e *remote.RedirectError) error { return (*RedirectError)(e) }),
	row(func(e *remote.ResolverError) error { return (*ResolverError)(e) }),
	row(func(e *remote.UnsupportedError) error { return (*MediaTypeError)(e) }),
	row(func(e *remote.PlatformError) error { return (*PlatformError)(e) }),
	row(func(e *remote.MissingError) error { return (*MissingBlobError)(e) }),
	row(func(e *remote.StoreError) error { return (*BlobStoreError)(e) }),

	row(func(e *supervise.HungError) error { return (*HungError)(e) }),
	row(func(e *bounded.SilentError) error { return (*SilentClientError)(e) }),
	row(func(e *bounded.PanicError) error { return (*PanicError)(e) }),
	row(func(e *supervise.ExitedError) error { return (*ExitedError)(e) }),
	row(func(e *supervise.NoSocketError) error { return (*SocketError)(e) }),
	row(func(e *supervise.StuckError) error { return (*StuckError)(e) }),
	row(func(e *socketpath.TooLongError) error { return (*SocketPathError)(e) }),
}

// row returns nil for errors that have no T in them, else what public makes of
// the outermost T.
func row[T error](public func(T) error) func(error) error {
	return func(err error) error {
		var found T
		if !errors.As(err, &found) {
			return nil
		}
		return public(found)
	}
}

// asLimit gives err the type [LimitError] if a limit of [Limits] is its cause.
func asLimit(err error) error {
	var archive *rootfs.LimitError
	if errors.As(err, &archive) {
		return &LimitError{Limit: archive.Limit, Max: archive.Max, Err: err}
	}
	var document *remote.TooLargeError
	if errors.As(err, &document) {
		return &LimitError{Limit: document.Limit, Max: document.Max, Err: err}
	}
	return err
}
