// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

// leave makes an ingest like those that crashes leave. Without a ref it is half
// made.
func leave(t *testing.T, s *Store, ref, data string) {
	t.Helper()
	dir := filepath.Join(s.dir, "ingest", ingestDir(ref))
	assert.NilError(t, os.MkdirAll(dir, 0o755))
	if ref != "" {
		assert.NilError(t, os.WriteFile(filepath.Join(dir, "ref"), []byte(ref), 0o600))
	}
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "data"), []byte(data), 0o600))
}

func refsOf(t *testing.T, s *Store) map[string]int64 {
	t.Helper()
	ingests, err := s.unfinished()
	assert.NilError(t, err)
	sizes := map[string]int64{}
	for _, ingest := range ingests {
		sizes[ingest.ref] += ingest.size
	}
	return sizes
}

func TestSweepCrashedKeepsWhatCanBeResumed(t *testing.T) {
	s := open(t, nil)
	content := Blob{Digest: digest.FromString("content"), Size: 7}
	fetch := fetchRef(content.Digest, "a")
	cut, err := s.Incoming(t.Context(), s.NewPin(), content, "a")
	assert.NilError(t, err)
	_, err = io.WriteString(cut, "cont")
	assert.NilError(t, err)
	cut.Fail(errors.New("the process stopped"))
	leave(t, s, unnamed+"x", "of a create")
	leave(t, s, "", "half")
	leave(t, s, "not written yet", " made")
	assert.NilError(t, os.WriteFile(filepath.Join(s.dir, "ingest", ingestDir("not written yet"), "ref"), make([]byte, 15), 0o600))
	assert.NilError(t, os.MkdirAll(filepath.Join(s.dir, probe+"1", "supported"), 0o755))
	assert.NilError(t, os.MkdirAll(filepath.Join(s.dir, "foreign"), 0o755))
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{fetch: 4, unnamed + "x": 11, "": 9})
	all, err := s.unfinished()
	assert.NilError(t, err)
	assert.Equal(t, len(all), 4)

	assert.NilError(t, s.SweepCrashed())
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{fetch: 4})
	left, err := filepath.Glob(filepath.Join(s.dir, "*"))
	assert.NilError(t, err)
	assert.Equal(t, len(left), 3, "%v", left)
	probes, err := filepath.Glob(filepath.Join(s.dir, probe+"*"))
	assert.NilError(t, err)
	assert.Equal(t, len(probes), 0)

	incoming, err := s.Incoming(t.Context(), s.NewPin(), content, "a")
	assert.NilError(t, err)
	assert.Equal(t, incoming.Resumed, int64(4))
	_, err = io.WriteString(incoming, "ent")
	assert.NilError(t, err)
	assert.NilError(t, incoming.Commit(t.Context()))
}

func TestSweepAbandonedLeavesWhatIsInUse(t *testing.T) {
	s := open(t, nil)
	written, err := s.Ingest(t.Context(), s.NewPin())
	assert.NilError(t, err)
	_, err = io.WriteString(written, "being written")
	assert.NilError(t, err)
	wanted := digest.FromString("wanted")
	pin := s.NewPin()
	pin.Add(wanted)
	leave(t, s, "fetch "+wanted.String(), "wan")
	leave(t, s, "fetch "+digest.FromString("given up").String(), "giv")
	leave(t, s, unnamed+"x", "of a create")
	leave(t, s, "", "half made")

	abandoned, err := s.Abandoned()
	assert.NilError(t, err)
	assert.Equal(t, abandoned, Tally{Count: 3, Bytes: 23})
	swept, err := s.SweepAbandoned()
	assert.NilError(t, err)
	assert.Equal(t, swept, abandoned)
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{written.ref: 13, "fetch " + wanted.String(): 3})
	blob, err := written.Commit(t.Context())
	assert.NilError(t, err)
	assert.Check(t, s.has(blob.Digest))

	pin.Release()
	swept, err = s.SweepAbandoned()
	assert.NilError(t, err)
	assert.Equal(t, swept, Tally{Count: 1, Bytes: 3})
	swept, err = s.SweepAbandoned()
	assert.NilError(t, err)
	assert.Equal(t, swept, Tally{})
}

func TestSweepAbandonedThatFails(t *testing.T) {
	s := open(t, nil)
	leave(t, s, "fetch x", "x")
	broken := errors.New("broken")
	s.fs = &durable.FS{Fault: func(durable.Step) error { return broken }}
	swept, err := s.SweepAbandoned()
	assert.Check(t, is.ErrorIs(err, broken))
	assert.Check(t, is.ErrorContains(err, `abandon ingest "fetch x"`))
	assert.Equal(t, swept, Tally{})
	assert.NilError(t, os.RemoveAll(s.dir))
	_, err = s.SweepAbandoned()
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.Check(t, is.ErrorIs(s.SweepCrashed(), os.ErrNotExist))
	_, err = s.Garbage(t.Context(), nothing)
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
}

// Every writer gets its blob while SweepAbandoned runs again and again.
func TestSweepAbandonedDuringWrites(t *testing.T) {
	s := open(t, nil)
	stop := make(chan struct{})
	var sweeper, writers sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.SweepAbandoned(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 {
		writers.Go(func() {
			for range 50 {
				pin := s.NewPin()
				if _, err := s.Put(context.Background(), pin, []byte{byte(i)}); err != nil {
					t.Error(err)
				}
				pin.Release()
			}
		})
	}
	writers.Wait()
	close(stop)
	sweeper.Wait()
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{})
}

func TestGarbageIsWhatSweepDeletes(t *testing.T) {
	s := open(t, nil)
	pin := s.NewPin()
	marked := put(t, s, pin, "marked")
	put(t, s, pin, "garbage")
	pin.Release()
	holder := s.NewPin()
	put(t, s, holder, "pinned")
	mark := func(context.Context) (map[digest.Digest]struct{}, error) {
		return map[digest.Digest]struct{}{marked: {}}, nil
	}
	garbage, err := s.Garbage(t.Context(), mark)
	assert.NilError(t, err)
	assert.Equal(t, garbage, Tally{Count: 1, Bytes: 7})
	swept, err := s.Sweep(t.Context(), mark)
	assert.NilError(t, err)
	assert.Equal(t, swept, garbage)
	unknown := errors.New("unreadable record")
	_, err = s.Garbage(t.Context(), func(context.Context) (map[digest.Digest]struct{}, error) { return nil, unknown })
	assert.Check(t, is.ErrorIs(err, unknown))
}

func TestIngestThatCannotBegin(t *testing.T) {
	s := open(t, nil)
	assert.NilError(t, os.Remove(filepath.Join(s.dir, "ingest")))
	assert.NilError(t, os.WriteFile(filepath.Join(s.dir, "ingest"), nil, 0o600))
	_, err := s.Ingest(t.Context(), s.NewPin())
	assert.Check(t, is.ErrorContains(err, "ingest"))
	_, err = s.unfinished()
	assert.Check(t, is.ErrorContains(err, "list ingests"))
}

func TestWriterThatCannotBeginLeavesNothingHalfMade(t *testing.T) {
	s := open(t, nil)
	blob := Blob{Digest: digest.FromString("content"), Size: 7}
	ref := fetchRef(blob.Digest, "a")
	// A ref that can't be written, as on a full disk.
	half := filepath.Join(s.dir, "ingest", ingestDir(ref))
	assert.NilError(t, os.MkdirAll(filepath.Join(half, "ref", "x"), 0o755))
	_, err := s.Incoming(t.Context(), s.NewPin(), blob, "a")
	assert.Check(t, is.ErrorContains(err, "is a directory"))
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{})
	incoming, err := s.Incoming(t.Context(), s.NewPin(), blob, "a")
	assert.NilError(t, err)
	incoming.Fail(errors.New("given up"))
	assert.DeepEqual(t, refsOf(t, s), map[string]int64{ref: 0})
}
