// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/legacyroot"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
)

func TestErrorsArePlain(t *testing.T) {
	plaintexttest.Check(t,
		&LegacyError{},
		&LimitError{},
		&LimitError{Limit: "ManifestBytes", Max: maxManifestBytes},
		&NotFoundError{},
		&AmbiguousError{},
		&DisabledError{},
		&UnavailableError{},
		&EnabledError{},
		&InUseError{},
		&ExistsError{},
		&BusyError{},
		&InvalidError{},
		&ConfigError{},
		&UnsupportedError{},
		&StorageError{},
		&AnswerError{},
		&BrokenError{},
		&unknownContentError{},
		&RootInUseError{},
		&FencedError{},
		&PrivilegesError{},
		&StateError{},
		&HungError{},
		&PanicError{},
		&ExitedError{},
		&SocketError{},
		&SocketPathError{},
		&StuckError{},
		&ArchiveEntryError{},
		&ArchiveError{},
		&BuildContextError{},
		&UnpackError{},
		&BlobWriteError{},
		&BlobSizeError{},
		&CorruptBlobError{},
		&WrongContentError{},
		&DescriptorError{},
		&MountedError{},
		&UnsettledRemovalError{},
		&InterruptedUpgradeError{},
		&BackupError{},
		&ImportError{},
		&InventoryError{},
		&RegistryError{},
		&StalledError{},
		&ProtocolError{},
		&RedirectError{},
		&ResolverError{},
		&MediaTypeError{},
		&SilentClientError{},
		&PlatformError{},
		&MissingBlobError{},
		&BlobStoreError{},
	)
	plaintexttest.CheckLines(t, 4, &translatedError{})
	plaintexttest.CheckLines(t, 3, &StartError{ExitCode: 137, OOMKilled: true})
}

// translated are the errors of rooms, and how they look to callers of verbs.
func translated() []struct{ below, public error } {
	failure := remote.RequestError{Op: "pull", Reference: "group/a:1", Host: "example.com", Err: io.ErrUnexpectedEOF}
	registry := RegistryError{Op: "pull", Reference: "group/a:1", Host: "example.com", Err: io.ErrUnexpectedEOF}
	one, two := digest.FromString("1"), digest.FromString("2")
	asked := types.PluginPrivileges{{Name: "network", Value: []string{"host"}}}
	return []struct{ below, public error }{
		{&layout.LockedError{Root: "/r"}, &RootInUseError{Root: "/r"}},
		{&layout.FencedError{Root: "/r"}, &FencedError{Root: "/r"}},
		{&layout.UnsettledError{Err: io.EOF}, &UnsettledRemovalError{Err: io.EOF}},
		{&layout.InterruptedError{Err: io.EOF}, &InterruptedUpgradeError{Err: io.EOF}},
		{&layout.BackupError{Rootfs: "/r", Backup: "/b", Err: io.EOF}, &BackupError{Rootfs: "/r", Backup: "/b", Err: io.EOF}},
		{&legacyroot.EntryError{ID: "i", File: "f", Err: io.EOF}, &ImportError{ID: "i", File: "f", Err: io.EOF}},
		{&legacyroot.InventoryError{Path: "/p", Err: io.EOF}, &InventoryError{Path: "/p", Err: io.EOF}},
		{&durable.MountedError{Path: "/r", Mounts: []string{"/r/m"}}, &MountedError{Path: "/r", Mounts: []string{"/r/m"}}},
		{&privilege.MismatchError{Missing: asked}, &PrivilegesError{Missing: asked}},
		{&lifecycle.ImpossibleError{From: lifecycle.Disabled, Event: lifecycle.Disable}, &StateError{Event: "disable", State: "disabled"}},
		{&rootfs.EntryError{Entry: "a", Reason: "b"}, &ArchiveEntryError{Entry: "a", Reason: "b"}},
		{&rootfs.FormatError{Err: io.EOF}, &ArchiveError{Err: io.EOF}},
		{&rootfs.ContextError{Reason: "a"}, &BuildContextError{Reason: "a"}},
		{&rootfs.SystemError{Op: "write", Entry: "a", Err: io.EOF}, &UnpackError{Op: "write", Entry: "a", Err: io.EOF}},
		{&distribution.MismatchError{Err: io.EOF}, &InvalidError{What: "plugin", Err: io.EOF}},
		{&imagefile.InvalidError{Err: io.EOF}, &InvalidError{What: "image", Err: io.EOF}},
		{&blobs.WriteError{Err: io.EOF}, &BlobWriteError{Err: io.EOF}},
		{&blobs.TooLargeError{Digest: one, Size: 2, Limit: 1}, &BlobSizeError{Digest: one, Size: 2, Limit: 1}},
		{&blobs.CorruptError{Digest: one}, &CorruptBlobError{Digest: one}},
		{
			&blobs.WrongContentError{Want: blobs.Blob{Digest: one, Size: 1}, Got: blobs.Blob{Digest: two, Size: 2}},
			&WrongContentError{Digest: one, Size: 1, GotDigest: two, GotSize: 2},
		},
		{
			&blobs.DescriptorError{Described: blobs.Blob{Digest: one, Size: 1}, Size: 2},
			&DescriptorError{Digest: one, Described: 1, Size: 2},
		},
		{&remote.UnauthorizedError{RequestError: failure}, &UnauthorizedError{registry}},
		{&remote.ForbiddenError{RequestError: failure}, &ForbiddenError{registry}},
		{&remote.NotFoundError{RequestError: failure}, &RegistryNotFoundError{registry}},
		{&remote.RateLimitError{RequestError: failure, RetryAfter: time.Minute}, &RateLimitError{registry, time.Minute}},
		{&remote.UnavailableError{RequestError: failure}, &RegistryUnavailableError{registry}},
		{&remote.RefusedError{RequestError: failure}, &RegistryRefusedError{registry}},
		{
			&remote.StalledError{Host: "h", Timeout: time.Second, What: "sent nothing"},
			&StalledError{Host: "h", Timeout: time.Second, What: "sent nothing"},
		},
		{&remote.ProtocolError{Host: "h", Why: "w"}, &ProtocolError{Host: "h", Why: "w"}},
		{&remote.RedirectError{From: "a", To: "b", Why: "w"}, &RedirectError{From: "a", To: "b", Why: "w"}},
		{&remote.ResolverError{Host: "h", Why: "w"}, &ResolverError{Host: "h", Why: "w"}},
		{&remote.UnsupportedError{What: "layer", Type: "t", Why: "w"}, &MediaTypeError{What: "layer", Type: "t", Why: "w"}},
		{&remote.PlatformError{Want: "a", Available: []string{"b"}}, &PlatformError{Want: "a", Available: []string{"b"}}},
		{&remote.MissingError{What: "layer", Digest: one}, &MissingBlobError{What: "layer", Digest: one}},
		{&remote.StoreError{Err: io.EOF}, &BlobStoreError{Err: io.EOF}},
		{&supervise.HungError{Call: "c", Err: io.EOF}, &HungError{Call: "c", Err: io.EOF}},
		{&bounded.SilentError{Patience: 1}, &SilentClientError{Patience: 1}},
		{&bounded.PanicError{Value: 1}, &PanicError{Value: 1}},
		{&supervise.ExitedError{}, &ExitedError{}},
		{&supervise.NoSocketError{Name: "n", Err: io.EOF}, &SocketError{Name: "n", Err: io.EOF}},
		{&supervise.StuckError{Err: io.EOF}, &StuckError{Err: io.EOF}},
		{&socketpath.TooLongError{Path: "/p", Short: "/s"}, &SocketPathError{Path: "/p", Short: "/s"}},
	}
}

// TestErrorsAreTranslated gives each error of the rooms to a caller, deep in
// others: the public type is found, with the same text, class and cause.
func TestErrorsAreTranslated(t *testing.T) {
	all := translated()
	assert.Equal(t, len(all), len(translations), "each row of translations has a case")
	for _, tt := range all {
		t.Run(fmt.Sprintf("%T", tt.public), func(t *testing.T) {
			below := fmt.Errorf("verb: %w", errors.Join(io.ErrClosedPipe, tt.below))
			err := below
			plain(&err)
			found := reflect.New(reflect.TypeOf(tt.public))
			assert.Assert(t, errors.As(err, found.Interface()), "%T is not found", tt.public)
			assert.Assert(t, reflect.DeepEqual(found.Elem().Interface(), tt.public), "%#v", found.Elem().Interface())
			assert.Equal(t, tt.public.Error(), tt.below.Error())
			for name, is := range classes {
				assert.Equal(t, is(tt.public), is(tt.below), name)
				assert.Equal(t, is(err), is(below), name)
			}
			assert.ErrorIs(t, err, io.ErrClosedPipe)
			assert.Equal(t, errors.Unwrap(tt.public), errors.Unwrap(tt.below))
			assert.Check(t, !errors.As(err, new(*BrokenError)))
			again := err
			plain(&again)
			assert.Equal(t, again, err, "a verb that another verb calls translates nothing again")
		})
	}
}

var classes = map[string]func(error) bool{
	"NotFound": errdefs.IsNotFound, "Conflict": errdefs.IsConflict, "InvalidParameter": errdefs.IsInvalidArgument,
	"Unauthorized": errdefs.IsUnauthorized, "Forbidden": errdefs.IsPermissionDenied, "Unavailable": errdefs.IsUnavailable,
	"System": errdefs.IsInternal, "DataLoss": errdefs.IsDataLoss,
}

func TestRegistryErrorIsFoundInAllOfItsKind(t *testing.T) {
	err := error(&remote.RateLimitError{RequestError: remote.RequestError{Op: "push", Host: "example.com", Err: io.EOF}, RetryAfter: time.Hour})
	plain(&err)
	var registry *RegistryError
	assert.Assert(t, errors.As(err, &registry))
	assert.Equal(t, registry.Host, "example.com")
	assert.Check(t, !errors.As(err, new(*UnauthorizedError)))
}

func TestOtherErrorsAreNotTranslated(t *testing.T) {
	for _, err := range []error{nil, io.EOF, &NotFoundError{Ref: "a"}, &LimitError{Limit: "Layers", Err: io.EOF}} {
		same := err
		plain(&same)
		assert.Equal(t, same, err)
	}
}

func TestLimitsAreTranslated(t *testing.T) {
	err := fmt.Errorf("pull: %w", &rootfs.LimitError{Limit: "Entries", Max: 7, Entry: "a"})
	plain(&err)
	assert.Error(t, err, `pull: archive exceeds the limit Entries of 7 at entry "a" (raise ManagerConfig.Limits.Entries to allow more)`)
	var limit *LimitError
	assert.Assert(t, errors.As(err, &limit))
	assert.Equal(t, limit.Max, int64(7))
	plain(&err)
	assert.Assert(t, errors.As(err, &limit))
	assert.Check(t, !errors.As(limit.Err, new(*LimitError)), "it is wrapped twice")
}
