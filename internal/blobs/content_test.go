// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

func describe(text string) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromString(text), Size: int64(len(text))}
}

func writer(t *testing.T, store content.Store, ref, text string) content.Writer {
	t.Helper()
	w, err := store.Writer(t.Context(), content.WithRef(ref), content.WithDescriptor(describe(text)))
	assert.NilError(t, err)
	return w
}

// The next writer of a ref resumes after the bytes of an interrupted one.
func TestContentResumes(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	store := s.Content(pin)
	w := writer(t, store, "layer", "one two")
	_, err := io.WriteString(w, "one ")
	assert.NilError(t, err)
	assert.NilError(t, w.Close())

	w = writer(t, store, "layer", "one two")
	status, err := w.Status()
	assert.NilError(t, err)
	assert.Equal(t, status.Offset, int64(4))
	_, err = io.WriteString(w, "two")
	assert.NilError(t, err)
	want := describe("one two")
	assert.NilError(t, w.Commit(t.Context(), want.Size, want.Digest))
	assert.NilError(t, w.Close())
	data, err := content.ReadBlob(t.Context(), store, want)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "one two")

	_, err = store.Writer(t.Context(), content.WithRef("layer"), content.WithDescriptor(want))
	assert.Check(t, errdefs.IsAlreadyExists(err), "%v", err)
	ingests, err := s.unfinished()
	assert.NilError(t, err)
	assert.Equal(t, len(ingests), 0)
}

// Each method of Content pins the blobs that it is asked for.
func TestContentPins(t *testing.T) {
	s := open(t, nil)
	first := s.NewPin()
	a, b, c := put(t, s, first, "a"), put(t, s, first, "b"), put(t, s, first, "c")
	first.Release()
	pin := s.NewPin()
	store := s.Content(pin)
	_, err := store.Info(t.Context(), a)
	assert.NilError(t, err)
	blob, err := store.ReaderAt(t.Context(), ocispec.Descriptor{Digest: b})
	assert.NilError(t, err)
	assert.NilError(t, blob.Close())
	_, err = store.Writer(t.Context(), content.WithRef("c"), content.WithDescriptor(describe("c")))
	assert.Check(t, errdefs.IsAlreadyExists(err), "%v", err)

	_, err = s.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Check(t, s.has(a) && s.has(b) && s.has(c))
	pin.Release()
	_, err = s.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Check(t, !s.has(a) && !s.has(b) && !s.has(c))
}

// A sweep while a blob is written, or right after its commit, deletes nothing of
// it.
func TestContentDuringSweep(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	w, err := s.Content(pin).Writer(t.Context(), content.WithRef("unknown digest"))
	assert.NilError(t, err)
	_, err = io.WriteString(w, "content")
	assert.NilError(t, err)
	sweep := func() {
		_, err := s.Sweep(t.Context(), nothing)
		assert.NilError(t, err)
	}
	sweep()
	assert.NilError(t, w.Commit(t.Context(), 0, ""))
	sweep()
	assert.Check(t, s.has(digest.FromString("content")))
}

func TestContentIsNotDeleted(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "x")
	err := s.Content(s.NewPin()).Delete(t.Context(), dgst)
	assert.Check(t, errdefs.IsFailedPrecondition(err), "%v", err)
	assert.Check(t, s.has(dgst))
}

// The second of two writers of the same blob waits, and finds the blob committed.
func TestContentWaitsForRef(t *testing.T) {
	s := open(t, nil)
	synctest.Test(t, func(t *testing.T) {
		store := s.Content(s.NewPin())
		w := writer(t, store, "layer", "content")
		found := make(chan error)
		go func() {
			_, err := s.Content(s.NewPin()).Writer(t.Context(), content.WithRef("layer"), content.WithDescriptor(describe("content")))
			found <- err
		}()
		synctest.Wait()
		select {
		case err := <-found:
			t.Fatalf("the second did not wait: %v", err)
		default:
		}
		_, err := io.WriteString(w, "content")
		assert.NilError(t, err)
		assert.NilError(t, w.Commit(t.Context(), 7, digest.FromString("content")))
		assert.Check(t, errdefs.IsAlreadyExists(<-found))
		assert.NilError(t, w.Close())
	})
}

func TestContentStopsWaiting(t *testing.T) {
	s := open(t, nil)
	synctest.Test(t, func(t *testing.T) {
		w := writer(t, s.Content(s.NewPin()), "layer", "content")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.Content(s.NewPin()).Writer(ctx, content.WithRef("layer"))
		assert.Check(t, is.ErrorIs(err, context.DeadlineExceeded))
		assert.NilError(t, w.Close())
	})
}

func TestContentThatIsNotWhatWasPromised(t *testing.T) {
	s := open(t, nil)
	store := s.Content(s.NewPin())
	w := writer(t, store, "layer", "promised")
	_, err := io.WriteString(w, "delivered")
	assert.NilError(t, err)
	want := describe("promised")
	assert.Check(t, w.Commit(t.Context(), want.Size, want.Digest) != nil)
	assert.NilError(t, w.Close())
	assert.NilError(t, store.Abort(t.Context(), "layer"))
	ingests, err := s.unfinished()
	assert.NilError(t, err)
	assert.Equal(t, len(ingests), 0)
	usage, err := s.Usage()
	assert.NilError(t, err)
	assert.Equal(t, usage, Tally{})
}

// A commit with a failed sync does not count as durable, neither for its writer
// nor for a writer that finds the blob.
func TestContentSyncs(t *testing.T) {
	s := open(t, nil)
	broken := errors.New("no power")
	fail := true
	s.fs = &durable.FS{Fault: func(step durable.Step) error {
		if fail && step.Op == "sync" {
			return broken
		}
		return nil
	}}
	commit := func(ref string) error {
		w, err := s.Content(s.NewPin()).Writer(t.Context(), content.WithRef(ref))
		assert.NilError(t, err)
		_, err = io.WriteString(w, "content")
		assert.NilError(t, err)
		defer w.Close()
		return w.Commit(t.Context(), 7, digest.FromString("content"))
	}
	assert.Check(t, is.ErrorIs(commit("a"), broken))
	assert.Check(t, is.ErrorIs(commit("b"), broken))
	fail = false
	assert.Check(t, errdefs.IsAlreadyExists(commit("c")))
}

func TestUnfinished(t *testing.T) {
	s := open(t, nil)
	store := s.Content(s.NewPin())
	w := writer(t, store, "layer", "content")
	_, err := io.WriteString(w, "cont")
	assert.NilError(t, err)
	list := func() []unfinished {
		ingests, err := s.unfinished()
		assert.NilError(t, err)
		return ingests
	}
	assert.Check(t, slices.Equal(list(), []unfinished{{dir: ingestDir("layer"), ref: "layer", size: 4, inUse: true}}))
	err = s.Abort("layer")
	assert.Check(t, errdefs.IsConflict(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, `"layer" is in use`))

	assert.NilError(t, w.Close())
	assert.Check(t, slices.Equal(list(), []unfinished{{dir: ingestDir("layer"), ref: "layer", size: 4}}))
	usage, err := s.Usage()
	assert.NilError(t, err)
	assert.Equal(t, usage, Tally{}, "an unfinished blob was counted")
	assert.NilError(t, s.Abort("layer"))
	assert.NilError(t, s.Abort("layer"))
	assert.Equal(t, len(list()), 0)
	left, err := os.ReadDir(filepath.Join(s.dir, "ingest"))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0)

	put(t, s, s.NewPin(), "some")
	put(t, s, s.NewPin(), "more bytes")
	usage, err = s.Usage()
	assert.NilError(t, err)
	assert.Equal(t, usage, Tally{Count: 2, Bytes: 14})
}

// Many goroutines fetch the same few blobs, give up half-way and resume, while
// blobs and abandoned uploads are swept. Each gets the blobs it asked for.
func TestContentUnderLoad(t *testing.T) {
	s := open(t, nil)
	texts := []string{"zero", "first", "second blob", "the third"}
	var workers sync.WaitGroup
	for i := range 6 {
		workers.Go(func() {
			for round := range 60 {
				pin := s.NewPin()
				want := texts[(i+round)%len(texts)]
				if err := fetch(s, pin, want, round%3 == 0); err != nil {
					t.Errorf("fetch %q: %v", want, err)
				}
				if round%3 != 0 && !s.has(digest.FromString(want)) {
					t.Errorf("%q is gone while it is pinned", want)
				}
				pin.Release()
			}
		})
	}
	workers.Go(func() {
		for range 60 {
			if _, err := s.Sweep(context.Background(), nothing); err != nil {
				t.Error(err)
			}
			for _, text := range texts {
				var inUse *InUseError
				if err := s.Abort(text); err != nil && !errors.As(err, &inUse) {
					t.Error(err)
				}
			}
		}
	})
	workers.Wait()
}

// fetch writes text to the ref of the same name, or gives up half-way.
func fetch(s *Store, pin *Pin, text string, giveUp bool) error {
	ctx := context.Background()
	want := describe(text)
	w, err := s.Content(pin).Writer(ctx, content.WithRef(text), content.WithDescriptor(want))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	status, err := w.Status()
	if err != nil {
		return err
	}
	rest := text[status.Offset:]
	if giveUp {
		_, err := io.WriteString(w, rest[:len(rest)/2])
		return err
	}
	if _, err := io.WriteString(w, rest); err != nil {
		return err
	}
	err = w.Commit(ctx, want.Size, want.Digest)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// A store refuses writes once another manager owns the root, because that manager
// can write the same content.
func TestContentOfForeignRoot(t *testing.T) {
	files := &durable.FS{}
	s := open(t, files)
	kept := put(t, s, s.NewPin(), "kept")
	store := s.Content(s.NewPin())
	w := writer(t, store, "layer", "one two")
	_, err := io.WriteString(w, "one ")
	assert.NilError(t, err)
	in := incoming(t, s, "all of it")
	send(t, in, "all of it")

	fenced := errors.New("fenced")
	files.Guard = func() (func(), error) { return nil, fenced }
	_, err = io.WriteString(w, "two")
	assert.Check(t, is.ErrorIs(err, fenced))
	want := describe("one ")
	assert.Check(t, is.ErrorIs(w.Commit(t.Context(), want.Size, want.Digest), fenced))
	assert.NilError(t, w.Close())
	assert.Check(t, is.ErrorIs(in.Commit(t.Context()), fenced))
	_, err = s.Put(t.Context(), s.NewPin(), []byte("other"))
	assert.Check(t, is.ErrorIs(err, fenced))
	_, err = store.Writer(t.Context(), content.WithRef("other"))
	assert.Check(t, is.ErrorIs(err, fenced))
	blobs, err := s.list()
	assert.NilError(t, err)
	assert.DeepEqual(t, blobs, []Blob{{Digest: kept, Size: 4}})
	ingests, err := s.unfinished()
	assert.NilError(t, err)
	assert.Equal(t, len(ingests), 2, "%v", ingests)
	for _, ingest := range ingests {
		assert.Check(t, !ingest.inUse)
	}

	files.Guard = nil
	data, err := s.ReadAll(t.Context(), kept, 100)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "kept")
}
