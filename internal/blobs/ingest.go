// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Ingest is an upload with a digest that is known only when it completes. It is not
// safe for concurrent use. The caller ends it by Commit or Abort.
type Ingest struct {
	store  *Store
	ref    string
	writer content.Writer // nil once ended
}

// Ingest begins an upload. Pin holds the blob from Commit on.
func (s *Store) Ingest(ctx context.Context, pin *Pin) (*Ingest, error) {
	ref := unnamed + rand.Text()
	writer, err := s.Content(pin).Writer(ctx, content.WithRef(ref))
	if err != nil {
		// Remove a part that was made before the disk was full.
		return nil, errors.Join(err, s.Abort(ref))
	}
	return &Ingest{store: s, ref: ref, writer: writer}, nil
}

// Write appends bytes. The error is a [WriteError].
func (i *Ingest) Write(data []byte) (int, error) { return write(i.writer, data) }

func write(to io.Writer, data []byte) (int, error) {
	n, err := to.Write(data)
	if err != nil {
		return n, &WriteError{Err: err}
	}
	return n, nil
}

// Commit makes the bytes a blob. The blob is durable when Commit returns nil. A
// blob that the store already has is kept, or replaced if it is corrupt.
func (i *Ingest) Commit(ctx context.Context) (Blob, error) {
	status, err := i.writer.Status()
	if err != nil {
		return Blob{}, err
	}
	blob := Blob{Digest: i.writer.Digest(), Size: status.Offset}
	if err := i.store.DiscardCorrupt(ctx, blob.Digest); err != nil {
		return Blob{}, err
	}
	err = i.writer.Commit(ctx, blob.Size, blob.Digest)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return Blob{}, err
	}
	i.writer = nil
	return blob, nil
}

// Abort deletes the bytes. It does nothing after Commit.
func (i *Ingest) Abort() {
	if i.writer == nil {
		return
	}
	_ = i.writer.Close()
	i.writer = nil
	// Bytes that can't be removed remain unfinished, for a later sweep.
	_ = i.store.Abort(i.ref)
}

// WriteError reports that the host could not write bytes, for example because the
// disk is full. Class System.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return plaintext.Sprintf("write blob: %v", e.Err) }

// Unwrap returns the error of the file system.
func (e *WriteError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *WriteError) System() {}
