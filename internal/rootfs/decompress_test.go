// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/docker/docker/errdefs"
	"github.com/klauspost/compress/zstd"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return packed.Bytes()
}

func zstandard(t testing.TB, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1))...)
	assert.NilError(t, err)
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

func TestDecompress(t *testing.T) {
	plain := archive(t, file("a", text(newRandom(1), 1<<20)))
	tests := []struct {
		name string
		from []byte
		want Compression
	}{
		{"plain", plain, Uncompressed},
		{"gzip", gzipped(t, plain), Gzip},
		{"gzip in members", append(gzipped(t, plain[:1000]), gzipped(t, plain[1000:])...), Gzip},
		{"zstd", zstandard(t, plain), Zstd},
		{"zstd after a skippable frame", append([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"), zstandard(t, plain)...), Zstd},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, source := range []io.Reader{bytes.NewReader(test.from), iotest.OneByteReader(bytes.NewReader(test.from))} {
				d, err := Decompress(t.Context(), source, Limits{})
				assert.NilError(t, err)
				got, err := io.ReadAll(d)
				assert.NilError(t, err)
				assert.Equal(t, d.Compression, test.want)
				assert.Check(t, bytes.Equal(got, plain))
				d.Close()
			}
		})
	}
}

func TestDecompressLittle(t *testing.T) {
	for _, little := range []string{"", "a", "abc", "\x1f\x8b", "\x50\x2a\x4d"} {
		d, err := Decompress(t.Context(), strings.NewReader(little), Limits{})
		assert.NilError(t, err)
		got, err := io.ReadAll(d)
		assert.NilError(t, err)
		assert.Equal(t, string(got), little)
		assert.Equal(t, d.Compression, Uncompressed)
		d.Close()
	}
}

func TestDecompressDamaged(t *testing.T) {
	plain := archive(t, file("a", text(newRandom(1), 1<<20)))
	for name, sound := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstandard(t, plain)} {
		damaged := bytes.Clone(sound)
		damaged[len(damaged)/2] ^= 0xff
		for kind, bad := range map[string][]byte{"cut": sound[:len(sound)/2], "cut early": sound[:7], "damaged": damaged} {
			t.Run(name+" "+kind, func(t *testing.T) {
				err := decompressAll(t, bytes.NewReader(bad), Limits{})
				checkInvalid(t, err)
				assert.Check(t, is.ErrorContains(err, "archive is malformed"))
			})
		}
	}
}

func decompressAll(t testing.TB, source io.Reader, limits Limits) error {
	d, err := Decompress(t.Context(), source, limits)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = io.Copy(io.Discard, d)
	return err
}

// Read returns errors of the source unchanged, whatever the decoder returns.
func TestDecompressSourceError(t *testing.T) {
	cut := errors.New("connection cut")
	plain := archive(t, file("a", text(newRandom(1), 1<<20)))
	for _, from := range [][]byte{plain, gzipped(t, plain), zstandard(t, plain)} {
		for _, n := range []int{0, 3, 8, 1000, len(from) / 2} {
			synctest.Test(t, func(t *testing.T) {
				err := decompressAll(t, io.MultiReader(bytes.NewReader(from[:n]), failing{cut}), Limits{})
				assert.Equal(t, err, cut)
			})
		}
	}
}

// The compression ratio of small archives is not limited. Only zstd can exceed
// the default ratio.
func TestDecompressRatio(t *testing.T) {
	const floor = 8 << 20
	limits := Limits{UnpackedBytes: ratioFloorShare * floor}
	bomb := zstandard(t, make([]byte, 2*floor))
	small := zstandard(t, make([]byte, floor))
	zeros := gzipped(t, make([]byte, 2*floor))

	err := decompressAll(t, bytes.NewReader(bomb), limits)
	var limit *LimitError
	assert.Assert(t, errors.As(err, &limit), "%v", err)
	assert.Equal(t, limit.Limit, "CompressionRatio")
	assert.Equal(t, limit.Max, int64(defaultCompressionRatio))
	checkInvalid(t, err)

	assert.NilError(t, decompressAll(t, bytes.NewReader(bomb), Limits{}), "zeros of a size that plugins have")
	assert.NilError(t, decompressAll(t, bytes.NewReader(small), limits))
	assert.NilError(t, decompressAll(t, bytes.NewReader(zeros), limits))
	limits.CompressionRatio = 1 << 20
	assert.NilError(t, decompressAll(t, bytes.NewReader(bomb), limits))
	limits.CompressionRatio = 100
	assert.Check(t, errdefs.IsInvalidParameter(decompressAll(t, bytes.NewReader(zeros), limits)))
}

// A frame with too large a window is refused before memory is allocated for it.
func TestDecompressWindow(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00}
	err := decompressAll(t, bytes.NewReader(frame), Limits{})
	checkInvalid(t, err)
	assert.Check(t, is.ErrorIs(err, zstd.ErrWindowSizeExceeded))
}
