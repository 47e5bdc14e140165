// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"bytes"
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Reader reads and verifies a blob. At the end Read returns a [CorruptError]
// instead of io.EOF if the content does not match the digest. A blob that is
// swept stays readable. A Reader is not safe for concurrent use.
type Reader struct {
	Size int64

	dgst     digest.Digest
	blob     content.ReaderAt
	bytes    io.Reader
	digester digest.Digester
}

// Reader opens a blob. The caller closes the reader. The error is of class
// NotFound if the store does not have the blob.
func (s *Store) Reader(ctx context.Context, dgst digest.Digest) (*Reader, error) {
	blob, err := s.content.ReaderAt(ctx, ocispec.Descriptor{Digest: dgst})
	if err != nil {
		return nil, err
	}
	digester := dgst.Algorithm().Digester()
	return &Reader{
		Size:     blob.Size(),
		dgst:     dgst,
		blob:     blob,
		bytes:    io.TeeReader(content.NewReader(blob), digester.Hash()),
		digester: digester,
	}, nil
}

func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.bytes.Read(p)
	if err == io.EOF && r.digester.Digest() != r.dgst {
		return n, &CorruptError{Digest: r.dgst}
	}
	return n, err
}

// Close releases the blob.
func (r *Reader) Close() error { return r.blob.Close() }

// ReadAll returns the verified content of a blob of at most limit bytes. The
// error is of class NotFound if the store does not have the blob,
// InvalidParameter if it is larger than limit, and DataLoss if it is corrupt.
func (s *Store) ReadAll(ctx context.Context, dgst digest.Digest, limit int64) ([]byte, error) {
	r, err := s.Reader(ctx, dgst)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size > limit {
		return nil, &TooLargeError{Digest: dgst, Size: r.Size, Limit: limit}
	}
	var data bytes.Buffer
	data.Grow(int(r.Size) + bytes.MinRead)
	if _, err := data.ReadFrom(r); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}
