// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// outgoing is a stored blob that is being sent. It withholds the last bytes of a blob
// that does not match its digest, so that no registry can accept it. An upload that
// failed for this reason, or because the disk failed, is not the registry's fault:
// failure tells them apart.
//
// It is safe for concurrent use: after an early answer the transport can still read
// while the next request begins.
type outgoing struct {
	content io.ReaderAt
	blob    ocispec.Descriptor

	mu       sync.Mutex
	digester digest.Digester
	digested int64 // bytes of the blob's beginning that digester has
	err      error // why the blob can't be sent
}

func newOutgoing(content io.ReaderAt, d ocispec.Descriptor) *outgoing {
	return &outgoing{content: content, blob: d, digester: d.Digest.Algorithm().Digester()}
}

// ReadAt implements [io.ReaderAt].
func (o *outgoing) ReadAt(data []byte, offset int64) (int, error) {
	n, err := o.content.ReadAt(data, offset)
	o.mu.Lock()
	defer o.mu.Unlock()
	if problem := o.check(data[:n], offset, err); problem != nil {
		o.err = problem
		return 0, problem
	}
	return n, err
}

// check returns why bytes that were read can't be sent. A part of the blob that is read
// again, such as the rest of a chunk that the registry did not keep, is digested once.
func (o *outgoing) check(data []byte, offset int64, err error) error {
	end := offset + int64(len(data))
	if err != nil && !errors.Is(err, io.EOF) {
		return &StoreError{Err: err}
	}
	if err != nil && end < o.blob.Size {
		return &blobs.CorruptError{Digest: o.blob.Digest}
	}
	if offset > o.digested || end <= o.digested {
		return nil
	}
	_, _ = o.digester.Hash().Write(data[o.digested-offset:]) // a hash returns no error
	o.digested = end
	if end == o.blob.Size && o.digester.Digest() != o.blob.Digest {
		return &blobs.CorruptError{Digest: o.blob.Digest}
	}
	return nil
}

// failure returns why the blob can't be sent, or nil.
func (o *outgoing) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
