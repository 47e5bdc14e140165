// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"gotest.tools/v3/assert"
)

// layerOf makes an archive. A name that ends in "/" is a directory, "a -> b" is a
// symbolic link and "a = b" a hard link. Other names are files with their name and
// the layer's label as the content.
func layerOf(t *testing.T, label string, names ...string) *bytes.Buffer {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range names {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
		if link, target, ok := strings.Cut(name, " -> "); ok {
			header = &tar.Header{Name: link, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}
		} else if link, target, ok := strings.Cut(name, " = "); ok {
			header = &tar.Header{Name: link, Linkname: target, Typeflag: tar.TypeLink, Mode: 0o644}
		} else if strings.HasSuffix(name, "/") {
			header = &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
		}
		content := name + label
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(content))
		}
		assert.NilError(t, w.WriteHeader(header))
		if header.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, content)
			assert.NilError(t, err)
		}
	}
	assert.NilError(t, w.Close())
	return &archive
}

func TestTreeOfLayers(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]string
		want   []string
	}{
		{"one", [][]string{{"a", "d/", "d/b"}}, []string{"a", "d", "d/b"}},
		{"over each other", [][]string{{"a"}, {"./b", "/c"}}, []string{"a", "b", "c"}},
		{"whiteout", [][]string{{"d/a", "d/b"}, {"d/.wh.a"}}, []string{"d/b"}},
		{"whiteout of a directory", [][]string{{"d/", "d/a", "da"}, {".wh.d"}}, []string{"da"}},
		{"opaque hides lower", [][]string{{"d/", "d/a"}, {"d/", "d/b", "d/.wh..wh..opq", "d/c"}}, []string{"d", "d/b", "d/c"}},
		{"opaque root", [][]string{{"a"}, {".wh..wh..opq", "b"}}, []string{"b"}},
		{"file over directory", [][]string{{"d/", "d/a"}, {"d"}}, []string{"d"}},
		{"hard link", [][]string{{"a", "b = a"}, {"c = b"}}, []string{"a", "b", "c"}},
		{"through a link", [][]string{{"usr/", "bin -> usr"}, {"bin/a"}}, []string{"bin", "usr", "usr/a"}},
		{"through an absolute link", [][]string{{"x/", "x/l -> /y/z"}, {"x/l/a"}}, []string{"x", "x/l", "y/z/a"}},
		{"out of the root", [][]string{{"l -> ../../.."}, {"l/a"}}, []string{"a", "l"}},
		{"endless links", [][]string{{"l -> l"}, {"l/a"}}, []string{"l", "l/a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tree{}
			for i, names := range tt.layers {
				assert.NilError(t, got.apply(layerOf(t, string(rune('0'+i)), names...)))
			}
			assert.DeepEqual(t, slices.Sorted(maps.Keys(got)), tt.want)
		})
	}
}

func TestTreeOfBrokenLayer(t *testing.T) {
	archive := layerOf(t, "", "a", "b").Bytes()
	err := tree{}.apply(bytes.NewReader(archive[:300]))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestDecompress(t *testing.T) {
	var zipped, zstandard bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := io.WriteString(w, "content")
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	z, err := zstd.NewWriter(&zstandard)
	assert.NilError(t, err)
	_, err = io.WriteString(z, "content")
	assert.NilError(t, err)
	assert.NilError(t, z.Close())
	for _, compressed := range []io.Reader{&zipped, &zstandard, strings.NewReader("content")} {
		archive, end, err := decompress(compressed)
		assert.NilError(t, err)
		got, err := io.ReadAll(archive)
		assert.NilError(t, err)
		assert.Equal(t, string(got), "content")
		end()
	}
}

func TestTreeFileCompare(t *testing.T) {
	dir := t.TempDir()
	want := tree{}
	assert.NilError(t, want.apply(layerOf(t, "", "file", "d/", "link -> file")))
	path := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, content string, mode fs.FileMode) {
		assert.NilError(t, os.RemoveAll(path(name)))
		assert.NilError(t, os.WriteFile(path(name), []byte(content), 0o600))
		assert.NilError(t, os.Chmod(path(name), mode))
	}
	assert.ErrorContains(t, want["file"].compare(path("file")), "is missing")
	put("file", "fil", 0o644)
	assert.ErrorContains(t, want["file"].compare(path("file")), "has 3 bytes")
	put("file", "elif", 0o644)
	assert.ErrorContains(t, want["file"].compare(path("file")), "not the 4 of its layer")
	put("file", "file", 0o755)
	assert.ErrorContains(t, want["file"].compare(path("file")), "has mode -rwxr-xr-x instead of -rw-r--r--")
	put("file", "file", 0o644)
	assert.NilError(t, want["file"].compare(path("file")))
	assert.ErrorContains(t, want["d"].compare(path("file")), "has type ---------- instead of d")
	assert.NilError(t, os.Mkdir(path("d"), 0o755))
	assert.NilError(t, want["d"].compare(path("d")))
	assert.NilError(t, os.Symlink("elsewhere", path("link")))
	assert.ErrorContains(t, want["link"].compare(path("link")), `leads to "elsewhere" instead of "file"`)
	assert.NilError(t, os.Remove(path("link")))
	assert.NilError(t, os.Symlink("file", path("link")))
	assert.NilError(t, want["link"].compare(path("link")))
}
