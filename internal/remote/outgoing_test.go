// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// TestPushOfDamagedContent damages a layer after the push has begun. The error names
// the layer and not the registry, which receives no manifest and no wrong bytes.
func TestPushOfDamagedContent(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"other bytes": func(path string) error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = file.WriteAt([]byte("damage"), 100)
			return err
		},
		"fewer bytes": func(path string) error { return os.Truncate(path, 100) },
	} {
		for _, chunk := range []int64{0, 100000} {
			t.Run(name, func(t *testing.T) {
				b := newBench(t)
				b.mustPull(t)
				b.options.ChunkBytes, b.options.Transfers = chunk, 1
				o := b.other(t)
				o.ChunkMinLength = chunk
				layer := digest.FromBytes(b.packed[0])
				path := filepath.Join(b.dir, "blobs", "sha256", layer.Encoded())
				assert.NilError(t, os.Chmod(path, 0o600))
				o.Inject(http.MethodPost, "/uploads/", 1, func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						assert.Check(t, damage(path))
						next.ServeHTTP(w, r)
					})
				})
				_, err := o.push(t.Context(), o.request(t))
				corrupt, found := find[*blobs.CorruptError](err)
				assert.Assert(t, found, "%v", err)
				assert.Equal(t, corrupt.Digest, layer)
				assert.Check(t, errdefs.IsDataLoss(err), "%v", err)
				assert.Check(t, !o.Has(repository, layer))
				_, manifest := o.Manifest(repository, "latest")
				assert.Equal(t, len(manifest), 0)
				begun := 0
				for _, r := range o.Requests() {
					if r.Method == http.MethodPost {
						begun++
					}
				}
				assert.Equal(t, begun, 1, "the upload was repeated")
			})
		}
	}
}

// TestPushOfDamagedStore damages stored content before the push. Nothing is sent, except
// a layer without its last bytes.
func TestPushOfDamagedStore(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"other bytes": func(data []byte) []byte { return bytes.Repeat([]byte("x"), len(data)) },
		"fewer bytes": func(data []byte) []byte { return data[:len(data)/2] },
		"empty":       func([]byte) []byte { return nil },
		"more bytes":  func(data []byte) []byte { return append(bytes.Clone(data), "more"...) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, manifest := b.Manifest(repository, "latest")
			for _, content := range [][]byte{b.packed[0], []byte(config), manifest} {
				b.freshStore(t)
				b.mustPull(t)
				assert.NilError(t, os.Chmod(b.path(content), 0o600))
				assert.NilError(t, os.WriteFile(b.path(content), damage(content), 0o600))
				o := b.other(t)
				_, err := o.push(t.Context(), o.request(t))
				corrupt, found := find[*blobs.CorruptError](err)
				assert.Assert(t, found, "%v", err)
				assert.Equal(t, corrupt.Digest, digest.FromBytes(content))
				assert.Check(t, errdefs.IsDataLoss(err) && !errdefs.IsInvalidArgument(err), "%v", err)
				assert.Check(t, !o.Has(repository, corrupt.Digest))
			}
		})
	}
}

// brokenDisk fails to read from an offset on.
type brokenDisk struct {
	io.ReaderAt
	from int64
}

func (d brokenDisk) ReadAt(data []byte, offset int64) (int, error) {
	if offset+int64(len(data)) > d.from {
		return 0, syscall.EIO
	}
	return d.ReaderAt.ReadAt(data, offset)
}

// TestOutgoing reads a blob in parts, some of them again.
func TestOutgoing(t *testing.T) {
	data := bytes.Repeat([]byte("content "), 100)
	d := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	other := bytes.Clone(data)
	other[300] = 'x'
	for _, test := range []struct {
		name    string
		content io.ReaderAt
		want    error
	}{
		{"sound", bytes.NewReader(data), nil},
		{"other", bytes.NewReader(other), &blobs.CorruptError{Digest: d.Digest}},
		{"shorter", bytes.NewReader(data[:600]), &blobs.CorruptError{Digest: d.Digest}},
		{"unreadable", brokenDisk{bytes.NewReader(data), 600}, &StoreError{Err: syscall.EIO}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOutgoing(test.content, d)
			for _, part := range [][2]int64{{0, 250}, {100, 500}, {200, 300}, {500, d.Size}} {
				_, err := io.ReadAll(io.NewSectionReader(o, part[0], part[1]-part[0]))
				if part[1] < 600 {
					assert.NilError(t, err)
				} else {
					assert.DeepEqual(t, err, test.want)
				}
			}
			assert.DeepEqual(t, o.failure(), test.want)
		})
	}
	_, err := io.ReadAll(io.NewSectionReader(newOutgoing(bytes.NewReader(nil), d), 0, d.Size))
	assert.Check(t, is.ErrorType(err, &blobs.CorruptError{}))
}
