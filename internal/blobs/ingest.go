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

// Ingest is content on its way in, of which the digest is known at its end.
// It belongs to one goroutine. Commit or Abort ends it.
type Ingest struct {
	store  *Store
	ref    string
	writer content.Writer // nil once ended
}

// Ingest begins to take in content that pin will hold.
func (s *Store) Ingest(ctx context.Context, pin *Pin) (*Ingest, error) {
	ref := unnamed + rand.Text()
	writer, err := s.Content(pin).Writer(ctx, content.WithRef(ref))
	if err != nil {
		// What could be made before the disk was full is of no use.
		return nil, errors.Join(err, s.Abort(ref))
	}
	return &Ingest{store: s, ref: ref, writer: writer}, nil
}

// Write adds bytes. The error is a [WriteError].
func (i *Ingest) Write(data []byte) (int, error) { return write(i.writer, data) }

func write(to io.Writer, data []byte) (int, error) {
	n, err := to.Write(data)
	if err != nil {
		return n, &WriteError{Err: err}
	}
	return n, nil
}

// Commit makes the bytes a blob, which survives a power cut when Commit
// returns nil. Bytes that are here already are not kept twice; those that are
// here damaged are replaced.
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

// Abort forgets the bytes, unless they were committed.
func (i *Ingest) Abort() {
	if i.writer == nil {
		return
	}
	_ = i.writer.Close()
	i.writer = nil
	// Bytes that can't be removed now stay listed as unfinished.
	_ = i.store.Abort(i.ref)
}

// WriteError reports that the host could not take bytes, as when the disk is
// full. Class System.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return plaintext.Sprintf("write blob: %v", e.Err) }

// Unwrap returns the error of the file system.
func (e *WriteError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *WriteError) System() {}
