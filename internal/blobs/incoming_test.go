// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
)

func blobOf(text string) Blob {
	return Blob{Digest: digest.FromString(text), Size: int64(len(text))}
}

func incoming(t *testing.T, s *Store, text string) *Incoming {
	t.Helper()
	in, err := s.Incoming(t.Context(), s.NewPin(), blobOf(text), "a")
	assert.NilError(t, err)
	return in
}

func send(t *testing.T, in *Incoming, text string) {
	t.Helper()
	_, err := io.WriteString(in, text)
	assert.NilError(t, err)
}

// Readers that are opened before, during and after the upload of a blob read all
// of it.
func TestIncomingIsReadWhileItComes(t *testing.T) {
	s := open(t, nil)
	text := strings.Repeat("some content ", 20000)
	synctest.Test(t, func(t *testing.T) {
		in := incoming(t, s, text)
		results := make(chan []byte, 4)
		read := func() {
			r, err := in.Reader(t.Context())
			assert.NilError(t, err)
			go func() {
				defer r.Close()
				data, err := io.ReadAll(r)
				assert.Check(t, err)
				results <- data
			}()
		}
		read()
		send(t, in, text[:1000])
		read()
		synctest.Wait()
		for rest := text[1000:]; rest != ""; rest = rest[min(len(rest), 7000):] {
			send(t, in, rest[:min(len(rest), 7000)])
		}
		read()
		synctest.Wait()
		assert.Equal(t, len(results), 0, "a reader ended before the blob was verified")
		assert.NilError(t, in.Commit(t.Context()))
		read()
		for range 4 {
			assert.Check(t, bytes.Equal(<-results, []byte(text)))
		}
	})
	assert.Check(t, s.has(blobOf(text).Digest))
	_, err := s.Incoming(t.Context(), s.NewPin(), blobOf(text), "a")
	assert.Check(t, errdefs.IsAlreadyExists(err), "%v", err)
}

func TestIncomingIsResumed(t *testing.T) {
	s := open(t, nil)
	cut := errors.New("connection cut")
	in := incoming(t, s, "one two")
	assert.Equal(t, in.Resumed, int64(0))
	r, err := in.Reader(t.Context())
	assert.NilError(t, err)
	defer r.Close()
	send(t, in, "one ")
	in.Fail(cut)
	_, err = io.ReadAll(r)
	assert.Check(t, is.ErrorIs(err, cut))

	in = incoming(t, s, "one two")
	assert.Equal(t, in.Resumed, int64(4))
	send(t, in, "two")
	assert.Equal(t, in.Arrived(), int64(7))
	assert.NilError(t, in.Commit(t.Context()))
	data, err := s.ReadAll(t.Context(), blobOf("one two").Digest, 100)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "one two")
}

// After Forget an upload begins anew, unless an operation is writing it.
func TestIncomingIsForgotten(t *testing.T) {
	s := open(t, nil)
	blob := blobOf("one two")
	assert.NilError(t, s.Forget(blob.Digest, "a"))
	in := incoming(t, s, "one two")
	send(t, in, "one ")
	assert.NilError(t, s.Forget(blob.Digest, "a"))
	send(t, in, "t")
	cut := errors.New("connection cut")
	in.Fail(cut)
	assert.NilError(t, s.Forget(blob.Digest, "a"))
	_, err := in.Reader(t.Context())
	assert.Check(t, is.ErrorIs(err, cut))
	in = incoming(t, s, "one two")
	assert.Equal(t, in.Resumed, int64(0))
	send(t, in, "one two")
	assert.NilError(t, in.Commit(t.Context()))
	assert.NilError(t, s.Forget(blob.Digest, "a"))
	_, err = s.ReadAll(t.Context(), blob.Digest, 100)
	assert.NilError(t, err)
}

// Content that does not match its descriptor is refused and deleted.
func TestIncomingWrongContent(t *testing.T) {
	tests := []struct{ name, sent, want string }{
		{"other bytes", "other", "got content of digest sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"},
		{"too few", "righ", "got 4 bytes, want 5"},
		{"too many", "right and more", "got 14 bytes, want 5"},
		{"none", "", "got 0 bytes, want 5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, nil)
			in := incoming(t, s, "right")
			r, err := in.Reader(t.Context())
			assert.NilError(t, err)
			defer r.Close()
			send(t, in, test.sent)
			err = in.Commit(t.Context())
			assert.Check(t, is.ErrorContains(err, test.want))
			assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
			_, err = io.ReadAll(r)
			assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
			_, err = in.Reader(t.Context())
			assert.Check(t, errdefs.IsDataLoss(err), "a late reader: %v", err)
			usage, err := s.Usage()
			assert.NilError(t, err)
			assert.Equal(t, usage, Tally{})
			assert.Equal(t, incoming(t, s, "right").Resumed, int64(0))
		})
	}
}

func TestIncomingReaderStopsWaiting(t *testing.T) {
	s := open(t, nil)
	synctest.Test(t, func(t *testing.T) {
		in := incoming(t, s, "text")
		why := errors.New("another layer failed")
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := in.Reader(ctx)
		assert.NilError(t, err)
		defer r.Close()
		go cancel(why)
		_, err = io.ReadAll(r)
		assert.Check(t, is.ErrorIs(err, why))
		in.Fail(why)
	})
}

// A blob that a power cut truncated is deleted and fetched again.
func TestIncomingReplacesTruncated(t *testing.T) {
	testenv.NeedsRoot(t, "changing a read-only blob")
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "content")
	assert.NilError(t, os.Truncate(s.path(dgst), 0))
	in := incoming(t, s, "content")
	send(t, in, "content")
	assert.NilError(t, in.Commit(t.Context()))
	data, err := s.ReadAll(t.Context(), dgst, 100)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "content")
}

// An upload delays only operations that fetch the same blob from the same source.
// The first commit serves them all.
func TestIncomingFromSeveralSources(t *testing.T) {
	s := open(t, nil)
	synctest.Test(t, func(t *testing.T) {
		blob := blobOf("content")
		begin := func(source string) *Incoming {
			in, err := s.Incoming(t.Context(), s.NewPin(), blob, source)
			assert.NilError(t, err)
			return in
		}
		slow := begin("hostile")
		send(t, slow, "c")
		same := make(chan error, 1)
		go func() {
			_, err := s.Incoming(t.Context(), s.NewPin(), blob, "hostile")
			same <- err
		}()
		synctest.Wait()
		assert.Equal(t, len(same), 0, "the same blob was fetched twice from one source")

		in := begin("good")
		assert.Equal(t, in.Resumed, int64(0), "the bytes of a hostile source were resumed")
		send(t, in, "content")
		assert.NilError(t, in.Commit(t.Context()))
		_, err := s.Incoming(t.Context(), s.NewPin(), blob, "third")
		assert.Check(t, errdefs.IsAlreadyExists(err), "%v", err)

		send(t, slow, "ontent")
		assert.NilError(t, slow.Commit(t.Context()))
		assert.Check(t, errdefs.IsAlreadyExists(<-same))
		usage, err := s.Usage()
		assert.NilError(t, err)
		assert.Equal(t, usage, Tally{Count: 1, Bytes: 7})
	})
}

// The bytes of one source are neither resumed nor deleted on behalf of another.
func TestIncomingIsForgottenBySource(t *testing.T) {
	s := open(t, nil)
	blob := blobOf("content")
	pin := s.NewPin()
	for _, source := range []string{"a", "b"} {
		in, err := s.Incoming(t.Context(), pin, blob, source)
		assert.NilError(t, err)
		send(t, in, "con")
		in.Fail(errors.New("connection cut"))
	}
	assert.NilError(t, s.Forget(blob.Digest, "b"))
	for source, resumed := range map[string]int64{"a": 3, "b": 0} {
		in, err := s.Incoming(t.Context(), pin, blob, source)
		assert.NilError(t, err)
		assert.Equal(t, in.Resumed, resumed, source)
		in.Fail(errors.New("given up"))
	}
	abandoned, err := s.Abandoned()
	assert.NilError(t, err)
	assert.Equal(t, abandoned, Tally{}, "an upload that will be resumed was counted")
	pin.Release()
	abandoned, err = s.Abandoned()
	assert.NilError(t, err)
	assert.Equal(t, abandoned, Tally{Count: 2, Bytes: 3})
}
