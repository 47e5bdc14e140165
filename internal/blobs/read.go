package blobs

import (
	"bytes"
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Reader reads a blob and verifies it: instead of io.EOF, Read ends with a
// [CorruptError] when the bytes are not what the digest says. A sweep does not
// disturb it. It is not safe for concurrent use.
type Reader struct {
	Size int64

	dgst     digest.Digest
	blob     content.ReaderAt
	bytes    io.Reader
	digester digest.Digester
}

// Reader opens a blob; the caller closes it. The error is of class NotFound
// when it is not here.
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

// ReadAll returns the bytes of a blob of at most limit bytes, verified. The
// error is of class NotFound when it is not here, InvalidParameter when it is
// larger, and DataLoss when it is damaged.
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
