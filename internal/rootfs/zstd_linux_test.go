// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// frame compresses plain into a frame that declares a window.
func frame(t testing.TB, plain []byte, window int) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	assert.NilError(t, err)
	for part := range bytes.SplitAfterSeq(plain, []byte("\n")) { // a stream has no single segment
		_, err = w.Write(part)
		assert.NilError(t, err)
		assert.NilError(t, w.Flush())
	}
	assert.NilError(t, w.Close())
	return packed.Bytes()
}

const skippable = "\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"

// A stream can consist of frames with any windows up to the limit, and of skippable
// ones. The result is that of the plain decoder.
func TestFramesLikeThePlainDecoder(t *testing.T) {
	random := newRandom(*seed)
	plain := []byte("one line\nand another line\n")
	parts := [][]byte{
		[]byte(skippable), frame(t, plain, 1<<10), frame(t, plain, 8<<20), frame(t, plain, 32<<20), frame(t, plain, 16<<20),
		frame(t, plain, 256<<20), zstandard(t, plain), zstandard(t, nil), zstandard(t, make([]byte, 9<<20)), []byte("no frame"), {0x28},
	}
	decoder := newZstdDecoder(maxZstdWindowBytes)
	defer decoder.Close()
	limits := Limits{Budget: NewBudget()}
	for range 40 {
		var stream []byte
		for range 1 + random.IntN(5) {
			stream = append(stream, parts[pick(random, len(parts))]...)
		}
		if random.IntN(4) == 0 {
			stream = stream[:random.IntN(len(stream))]
		}
		if detect(stream) != Zstd {
			continue
		}
		assert.NilError(t, decoder.Reset(io.MultiReader(bytes.NewReader(stream))))
		want, wantErr := io.ReadAll(decoder)
		for _, source := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			d, err := Decompress(t.Context(), source, limits)
			assert.NilError(t, err)
			got, err := io.ReadAll(d)
			d.Close()
			assert.Check(t, is.Equal(err != nil, wantErr != nil), "%x: %v, %v", stream[:min(len(stream), 200)], err, wantErr)
			assert.Check(t, bytes.Equal(got, want), "%d and %d bytes: %v", len(got), len(want), err)
		}
	}
}

// pick prefers the ordinary parts.
func pick(random *rand.Rand, n int) int {
	if random.IntN(5) > 0 {
		n = 5
	}
	return random.IntN(n)
}

// A window over the limit is refused with an error that names both.
func TestFramesWithTooLargeAWindow(t *testing.T) {
	small, large := frame(t, []byte("x\n"), 1<<20), frame(t, []byte("x\n"), 256<<20)
	for name, stream := range map[string][]byte{"first": large, "later": append(bytes.Clone(small), large...), "after a skippable frame": append([]byte(skippable), large...)} {
		t.Run(name, func(t *testing.T) {
			err := decompressAll(t, bytes.NewReader(stream), Limits{})
			checkInvalid(t, err)
			assert.Check(t, is.ErrorIs(err, zstd.ErrWindowSizeExceeded))
			assert.Check(t, is.ErrorContains(err, "archive is not supported: a zstd frame has a window of 268435456 bytes, at most 134217728 are supported"))
		})
	}
}

// A layer takes a large window when a frame needs it, and not before it has arrived.
func TestLargeWindowsWaitForTheSender(t *testing.T) {
	layer := archive(t, file("a", "b"))
	packed := append(frame(t, layer[:512], 1<<20), frame(t, layer[512:], 16<<20)...)
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget()
		arrived := make(chan struct{})
		turn := make(chan struct{})
		close(turn)
		wait := func(ctx context.Context) error { <-arrived; return nil }
		d, err := decompress(t.Context(), bytes.NewReader(packed), Limits{Budget: budget}, layerState{turn, wait}, 1)
		assert.NilError(t, err)
		defer d.Close()
		read := make(chan []byte, 1)
		go func() {
			all, err := io.ReadAll(d)
			assert.Check(t, err)
			read <- all
		}()
		synctest.Wait()
		assert.Check(t, budget.largeLayers.TryAcquire(1), "a layer that is arriving holds a large window")
		close(arrived)
		synctest.Wait()
		assert.Check(t, is.Len(read, 0), "a large window was taken without room for it")
		budget.largeLayers.Release(1)
		assert.Check(t, bytes.Equal(<-read, layer))
		d.Close()
		assert.Check(t, budget.largeLayers.TryAcquire(1), "a large window was not given back")
	})
}

// An error while a layer waits for its arrival is the source's.
func TestLargeWindowOfALayerThatFails(t *testing.T) {
	cut := errors.New("connection cut")
	packed := append(frame(t, []byte("x\n"), 1<<20), frame(t, []byte("x\n"), 16<<20)...)
	d, err := decompress(t.Context(), bytes.NewReader(packed), Limits{}, layerState{nil, func(context.Context) error { return cut }}, 1)
	assert.NilError(t, err)
	defer d.Close()
	_, err = io.ReadAll(d)
	assert.Equal(t, err, cut)
	_, err = d.Read(make([]byte, 1))
	assert.Equal(t, err, cut)
}
