// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Valid content is kept when a descriptor has another size. The descriptor is
// refused.
func TestDescriptorDoesNotDeleteContent(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "content")
	for _, size := range []int64{-1, 0, 6, 8, 1 << 40} {
		_, err := s.Incoming(t.Context(), s.NewPin(), Blob{Digest: dgst, Size: size}, "a")
		var described *DescriptorError
		assert.Assert(t, errors.As(err, &described), "%v", err)
		assert.Check(t, errdefs.IsInvalidArgument(err))
		assert.Equal(t, *described, DescriptorError{Described: Blob{Digest: dgst, Size: size}, Size: 7})
	}
	data, err := s.ReadAll(t.Context(), dgst, 100)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "content")
}

func TestDiscardCorrupt(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "content")
	discard := func() error { return s.DiscardCorrupt(t.Context(), dgst) }
	assert.NilError(t, discard())
	assert.Check(t, s.has(dgst), "valid content was deleted")

	overwrite(t, s, dgst, "CONTENT")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Check(t, is.ErrorIs(s.DiscardCorrupt(cancelled, dgst), context.Canceled))
	assert.Check(t, s.has(dgst), "a blob that was not verified was deleted")
	assert.NilError(t, discard())
	assert.Check(t, !s.has(dgst))
	assert.NilError(t, discard(), "a missing blob is not an error")
	assert.Check(t, errdefs.IsInvalidArgument(s.DiscardCorrupt(t.Context(), "../x")))
}

// A blob that was replaced by valid content after its verification is kept.
func TestDiscardCorruptSparesReplacement(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "content")
	overwrite(t, s, dgst, "CONTENT")
	unsound, err := os.Open(s.path(dgst))
	assert.NilError(t, err)
	defer unsound.Close()
	// Another operation deletes the blob and fetches it again.
	assert.NilError(t, s.DiscardCorrupt(t.Context(), dgst))
	put(t, s, s.NewPin(), "content")
	assert.NilError(t, s.unlinkSame(dgst, unsound))
	assert.Check(t, s.has(dgst))
}

func TestDiscardCorruptThatFails(t *testing.T) {
	files := &durable.FS{}
	s := open(t, files)
	dgst := put(t, s, s.NewPin(), "content")
	overwrite(t, s, dgst, "CONTENT")
	broken := errors.New("disk error")
	files.Fault = func(durable.Step) error { return broken }
	assert.Check(t, is.ErrorIs(s.DiscardCorrupt(t.Context(), dgst), broken))
	_, err := s.Incoming(t.Context(), s.NewPin(), Blob{Digest: dgst, Size: 8}, "a")
	assert.Check(t, is.ErrorIs(err, broken))
}

// overwrite corrupts a blob in place, like a faulty disk.
func overwrite(t *testing.T, s *Store, dgst digest.Digest, content string) {
	t.Helper()
	assert.NilError(t, os.Chmod(s.path(dgst), 0o600))
	assert.NilError(t, os.WriteFile(s.path(dgst), []byte(content), 0o600))
}
