// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testseed"
)

func open(t *testing.T, files *durable.FS) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "storage"), files)
	assert.NilError(t, err)
	return s
}

func put(t *testing.T, s *Store, pin *Pin, text string) digest.Digest {
	t.Helper()
	dgst, err := s.Put(t.Context(), pin, []byte(text))
	assert.NilError(t, err)
	return dgst
}

func (s *Store) has(dgst digest.Digest) bool {
	_, err := s.Size(context.Background(), dgst)
	return err == nil
}

func nothing(context.Context) (map[digest.Digest]struct{}, error) { return nil, nil }

func TestPutAndRead(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	defer pin.Release()
	dgst := put(t, s, pin, "content")
	assert.Equal(t, put(t, s, pin, "content"), dgst, "twice")
	assert.Equal(t, dgst, digest.FromString("content"))
	data, err := s.ReadAll(t.Context(), dgst, 7)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "content")
	reader, err := s.Reader(t.Context(), dgst)
	assert.NilError(t, err)
	data, err = io.ReadAll(reader)
	assert.NilError(t, err)
	assert.NilError(t, reader.Close())
	assert.Equal(t, string(data), "content")

	_, err = s.ReadAll(t.Context(), dgst, 6)
	var large *TooLargeError
	assert.Assert(t, errors.As(err, &large), "%v", err)
	assert.Equal(t, large.Size, int64(7))
	absent := digest.FromString("absent")
	_, err = s.ReadAll(t.Context(), absent, 7)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	_, err = s.Reader(t.Context(), absent)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	_, err = s.Reader(t.Context(), "sha256:../../../etc/passwd")
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	size, err := s.Size(t.Context(), dgst)
	assert.NilError(t, err)
	assert.Equal(t, size, int64(7))
	_, err = s.Size(t.Context(), absent)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	_, err = s.Size(t.Context(), "no digest")
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}

func TestEmptyBlob(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "")
	data, err := s.ReadAll(t.Context(), dgst, 0)
	assert.NilError(t, err)
	assert.Equal(t, len(data), 0)
}

func TestCorruptBlobIsNotRead(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "content")
	assert.NilError(t, os.Chmod(s.path(dgst), 0o600))
	assert.NilError(t, os.WriteFile(s.path(dgst), []byte("CONTENT"), 0o600))
	_, err := s.ReadAll(t.Context(), dgst, 100)
	assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, dgst.String()))
	reader, err := s.Reader(t.Context(), dgst)
	assert.NilError(t, err)
	defer reader.Close()
	_, err = io.Copy(io.Discard, reader)
	assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
}

// An open reader can read its blob to the end after a sweep.
func TestReadWhileSwept(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	dgst := put(t, s, pin, "content")
	pin.Release()
	reader, err := s.Reader(t.Context(), dgst)
	assert.NilError(t, err)
	defer reader.Close()
	_, err = s.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Check(t, !s.has(dgst))
	data, err := io.ReadAll(reader)
	assert.NilError(t, err)
	assert.Equal(t, string(data), "content")
}

func TestIngest(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	w, err := s.Ingest(t.Context(), pin)
	assert.NilError(t, err)
	for range 3 {
		_, err = io.WriteString(w, "part ")
		assert.NilError(t, err)
	}
	blob, err := w.Commit(t.Context())
	assert.NilError(t, err)
	w.Abort()
	assert.Equal(t, blob, Blob{Digest: digest.FromString("part part part "), Size: 15})

	aborted, err := s.Ingest(t.Context(), pin)
	assert.NilError(t, err)
	_, err = io.WriteString(aborted, "never")
	assert.NilError(t, err)
	aborted.Abort()
	aborted.Abort()
	left, err := os.ReadDir(filepath.Join(s.dir, "ingest"))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 0)
	assert.Check(t, !s.has(digest.FromString("never")))
}

func TestCommitThatIsNotSynced(t *testing.T) {
	broken := errors.New("no power")
	s := open(t, nil)
	s.fs = &durable.FS{Fault: func(durable.Step) error { return broken }}
	_, err := s.Put(t.Context(), s.NewPin(), []byte("content"))
	assert.Check(t, is.ErrorIs(err, broken))
}

func TestSweep(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	marked, pinned, garbage := put(t, s, pin, "marked"), put(t, s, pin, "pinned"), put(t, s, pin, "garbage")
	pin.Release()
	pin.Release()
	holder := s.NewPin()
	holder.Add(pinned, pinned)
	swept, err := s.Sweep(t.Context(), func(context.Context) (map[digest.Digest]struct{}, error) {
		return map[digest.Digest]struct{}{marked: {}}, nil
	})
	assert.NilError(t, err)
	assert.Equal(t, swept, Tally{Count: 1, Bytes: 7})
	assert.Check(t, s.has(marked) && s.has(pinned) && !s.has(garbage))
	holder.Release()
	holder.Add(pinned) // has no effect after Release
	_, err = s.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Check(t, !s.has(pinned) && !s.has(marked))
}

// Files that are not named by a digest are ignored.
func TestSweepLeavesForeignFiles(t *testing.T) {
	s := open(t, nil)
	foreign := []string{"blobs/note", "blobs/sha256/note", "blobs/sha256/" + digest.FromString("dir").Encoded() + "/file", "blobs/md5/x", "note"}
	for _, name := range foreign {
		path := filepath.Join(s.dir, name)
		assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		assert.NilError(t, os.WriteFile(path, nil, 0o600))
	}
	swept, err := s.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Equal(t, swept, Tally{})
	for _, name := range foreign {
		_, err := os.Stat(filepath.Join(s.dir, name))
		assert.Check(t, err)
	}
}

// A sweep deletes the other blobs if one can't be deleted.
func TestSweepGoesOn(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	stuck, garbage := put(t, s, pin, "stuck"), put(t, s, pin, "garbage")
	pin.Release()
	broken := errors.New("no power")
	s.fs = &durable.FS{Fault: func(step durable.Step) error {
		if step.Path == s.path(stuck) {
			return broken
		}
		return nil
	}}
	swept, err := s.Sweep(t.Context(), nothing)
	assert.Check(t, is.ErrorIs(err, broken))
	assert.Equal(t, swept, Tally{Count: 1, Bytes: 7})
	assert.Check(t, s.has(stuck) && !s.has(garbage))
}

func TestSweepThatIsCancelled(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Sweep(ctx, nothing)
	assert.Check(t, is.ErrorIs(err, context.Canceled))
	assert.Check(t, s.has(dgst))
}

func TestSweepThatCannotMarkDeletesNothing(t *testing.T) {
	s := open(t, nil)
	dgst := put(t, s, s.NewPin(), "x")
	unknown := errors.New("unreadable record")
	_, err := s.Sweep(t.Context(), func(context.Context) (map[digest.Digest]struct{}, error) { return nil, unknown })
	assert.Check(t, is.ErrorIs(err, unknown))
	assert.Check(t, s.has(dgst))
}

// A blob that was pinned at any time of a sweep survives it: its reference may
// have been published after mark was called.
func TestPinDuringSweep(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	old := put(t, s, pin, "old, and about to be used again")
	pin.Release()
	_, err := s.Sweep(t.Context(), func(context.Context) (map[digest.Digest]struct{}, error) {
		quick := s.NewPin()
		quick.Add(old)
		put(t, s, quick, "new")
		quick.Release()
		return nil, nil
	})
	assert.NilError(t, err)
	assert.Check(t, s.has(old))
	assert.Check(t, s.has(digest.FromString("new")))
}

// Operations that pin, store, publish and release run concurrently with sweeps.
// At the end exactly the published blobs exist.
func TestSweepAgainstModel(t *testing.T) {
	seed := testseed.Of(t)
	s := open(t, nil)
	var mu sync.Mutex
	published := map[digest.Digest]int{}
	mark := func(context.Context) (map[digest.Digest]struct{}, error) {
		mu.Lock()
		defer mu.Unlock()
		marked := map[digest.Digest]struct{}{}
		for dgst, count := range published {
			if count > 0 {
				marked[dgst] = struct{}{}
			}
		}
		return marked, nil
	}
	var workers sync.WaitGroup
	for i := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		workers.Go(func() {
			var mine []digest.Digest
			for range 150 {
				switch random.IntN(4) {
				case 0:
					if _, err := s.Sweep(context.Background(), mark); err != nil {
						t.Error(err)
					}
				case 1:
					if len(mine) > 0 {
						mu.Lock()
						published[mine[0]]--
						mu.Unlock()
						mine = mine[1:]
					}
				default:
					pin := s.NewPin()
					dgst, err := s.Put(context.Background(), pin, []byte(fmt.Sprint(random.IntN(20))))
					if err != nil {
						t.Error(err)
					}
					if !s.has(dgst) {
						t.Errorf("%s is gone while it is pinned", dgst)
					}
					if random.IntN(3) > 0 {
						mu.Lock()
						published[dgst]++
						mu.Unlock()
						mine = append(mine, dgst)
					}
					pin.Release()
				}
			}
		})
	}
	workers.Wait()
	_, err := s.Sweep(t.Context(), mark)
	assert.NilError(t, err)
	want, _ := mark(t.Context())
	have, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	assert.NilError(t, err)
	assert.Equal(t, len(have), len(want))
	for dgst := range want {
		assert.Check(t, s.has(dgst))
	}
	assert.Equal(t, len(s.pins.counts), 0)
}
