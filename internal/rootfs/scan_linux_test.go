// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
)

func zipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	return compressed.Bytes()
}

// Scan gives each entry with its content and its place, and the digest of the
// uncompressed archive, however that is compressed.
func TestScan(t *testing.T) {
	plain := archive(t, folder("d"), file("d/a", "first"), symlink("l", "d"), file("b", "second"))
	for name, stored := range map[string][]byte{"plain": plain, "gzip": zipped(t, plain), "bytes after gzip": append(zipped(t, plain), zipped(t, nil)...)} {
		t.Run(name, func(t *testing.T) {
			var names, contents []string
			source := bytes.NewReader(stored)
			scanned, err := NewScanner(Limits{}).Scan(t.Context(), source, func(e Entry) error {
				content, err := io.ReadAll(e.Content)
				names, contents = append(names, e.Name), append(contents, string(content))
				assert.Check(t, bytes.HasPrefix(plain[e.Offset:], content), "%s", e.Name)
				return err
			})
			assert.NilError(t, err)
			assert.DeepEqual(t, names, []string{"d/", "d/a", "l", "b"})
			assert.DeepEqual(t, contents, []string{"", "first", "", "second"})
			assert.Equal(t, scanned, Layer{DiffID: digest.FromBytes(plain), Bytes: int64(len(plain))})
			assert.Equal(t, source.Len(), 0)
		})
	}
}

func TestScanErrors(t *testing.T) {
	plain := archive(t, file("a", "first"), file("b", "second"))
	broken := errors.New("broken")
	nothing := func(Entry) error { return nil }
	_, err := NewScanner(Limits{}).Scan(t.Context(), bytes.NewReader(plain), func(Entry) error { return broken })
	assert.ErrorIs(t, err, broken)
	_, err = NewScanner(Limits{}).Scan(t.Context(), io.MultiReader(bytes.NewReader(plain[:700]), failing{broken}), nothing)
	assert.ErrorIs(t, err, broken)
	_, err = NewScanner(Limits{FileBytes: 5}).Scan(t.Context(), bytes.NewReader(plain), nothing)
	assert.ErrorContains(t, err, `limit FileBytes of 5 at entry "b"`)
	for name, cut := range map[string]func(s *Scanner) error{
		"scanned": func(s *Scanner) error {
			_, err := s.Scan(t.Context(), bytes.NewReader(plain[:1400]), nothing)
			return err
		},
		"indexed": func(s *Scanner) error { return s.Index(t.Context(), bytes.NewReader(plain[:1538]), nothing) },
	} {
		t.Run(name, func(t *testing.T) { checkInvalid(t, cut(NewScanner(Limits{}))) })
	}
}

// The limits bound all archives of a scanner together.
func TestScanLimitsCoverAllArchives(t *testing.T) {
	s := NewScanner(Limits{Entries: 3})
	two := archive(t, file("a", ""), file("b", ""))
	visit := func(Entry) error { return nil }
	_, err := s.Scan(t.Context(), bytes.NewReader(two), visit)
	assert.NilError(t, err)
	_, err = s.Scan(t.Context(), bytes.NewReader(two), visit)
	assert.ErrorContains(t, err, "limit Entries of 3")
}

// Index gives the places of Scan without reading content, and its bytes count.
func TestIndex(t *testing.T) {
	plain := archive(t, file("a", text(newRandom(1), 100<<10)), file("b", "second"))
	var offsets []int64
	source := &countedReads{ReadSeeker: bytes.NewReader(plain)}
	assert.NilError(t, NewScanner(Limits{}).Index(t.Context(), source, func(e Entry) error {
		offsets = append(offsets, e.Offset)
		return nil
	}))
	assert.Equal(t, len(offsets), 2)
	assert.Check(t, bytes.HasPrefix(plain[offsets[1]:], []byte("second")))
	assert.Check(t, source.read < 20<<10, "%d bytes were read", source.read)
	err := NewScanner(Limits{UnpackedBytes: 90 << 10}).Index(t.Context(), bytes.NewReader(plain), func(Entry) error { return nil })
	assert.ErrorContains(t, err, "limit UnpackedBytes")
}

type countedReads struct {
	io.ReadSeeker
	read int
}

func (c *countedReads) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.read += n
	return n, err
}

func TestCopy(t *testing.T) {
	plain := []byte(text(newRandom(1), 100<<10))
	for name, stored := range map[string][]byte{"plain": plain, "gzip": zipped(t, plain)} {
		t.Run(name, func(t *testing.T) {
			var copied bytes.Buffer
			assert.NilError(t, Copy(t.Context(), &copied, bytes.NewReader(stored), Limits{}))
			assert.Check(t, bytes.Equal(copied.Bytes(), plain))
			err := Copy(t.Context(), io.Discard, bytes.NewReader(stored), Limits{UnpackedBytes: 90 << 10})
			assert.ErrorContains(t, err, "limit UnpackedBytes")
		})
	}
}

// A compressor writes what Split writes, and an error of its sink is returned.
func TestCompressor(t *testing.T) {
	plain := archive(t, file("a", text(newRandom(1), 3<<20)))
	var layer bytes.Buffer
	c := NewCompressor(&layer, NewBudget())
	_, err := c.Write(plain)
	assert.NilError(t, err)
	assert.NilError(t, c.Close())
	assert.NilError(t, c.Close())
	assert.Check(t, bytes.Equal(decompressed(t, layer.Bytes()), plain))
	broken := errors.New("broken")
	failed := NewCompressor(failingWriter{broken}, NewBudget())
	_, _ = failed.Write(plain)
	assert.ErrorIs(t, failed.Close(), broken)
}
