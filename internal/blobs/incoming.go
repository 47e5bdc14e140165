// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Incoming is an upload of a blob with a known digest. It can be read while it is
// written. One goroutine writes it and ends it by Commit or Fail. Other
// goroutines can call Arrived and Reader.
type Incoming struct {
	// Resumed is how many bytes an interrupted operation had left. Only Commit
	// verifies them.
	Resumed int64

	blob   Blob
	ref    string
	store  *Store
	writer content.Writer

	mu      sync.Mutex
	arrived int64
	ended   bool
	err     error         // why it ended; nil after a successful Commit
	changed chan struct{} // closed and replaced at each change
}

// Incoming begins or resumes the upload of a blob from a source. Pin holds the
// blob. Incoming waits, until ctx ends, while another operation fetches the same
// blob from the same source, because one fetch serves both. It does not wait for
// other sources, which can be slow on purpose. The error is of class
// AlreadyExists if the store has the blob, and a [DescriptorError] if it has the
// blob with another size.
func (s *Store) Incoming(ctx context.Context, pin *Pin, blob Blob, source string) (*Incoming, error) {
	pin.Add(blob.Digest)
	if err := s.checkDescribed(ctx, blob); err != nil {
		return nil, err
	}
	ref := fetchRef(blob.Digest, source)
	desc := ocispec.Descriptor{Digest: blob.Digest, Size: blob.Size}
	writer, err := s.Content(pin).Writer(ctx, content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		return nil, err
	}
	status, err := writer.Status()
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &Incoming{
		Resumed: status.Offset,
		blob:    blob,
		ref:     ref,
		store:   s,
		writer:  writer,
		arrived: status.Offset,
		changed: make(chan struct{}),
	}, nil
}

// fetchRef returns the ref of an upload from a source.
func fetchRef(dgst digest.Digest, source string) string {
	return "fetch " + dgst.String() + " " + source
}

// digestOf returns the digest in a ref made by fetchRef.
func digestOf(ref string) digest.Digest {
	_, rest, _ := strings.Cut(ref, " ")
	dgst, _, _ := strings.Cut(rest, " ")
	return digest.Digest(dgst)
}

// Forget deletes the partial download of a blob from a source, unless another
// operation is writing it.
func (s *Store) Forget(dgst digest.Digest, source string) error {
	err := s.Abort(fetchRef(dgst, source))
	if errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// Write appends bytes. Readers see them at once. The error is a [WriteError].
func (i *Incoming) Write(data []byte) (int, error) {
	n, err := write(i.writer, data)
	i.change(func() { i.arrived += int64(n) })
	return n, err
}

// Arrived returns how many bytes the store has, including the resumed ones.
func (i *Incoming) Arrived() int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.arrived
}

// Commit verifies the content and makes it a durable blob; readers then end with
// io.EOF. If the content does not match the descriptor, Commit deletes it and
// returns a [WrongContentError], which readers also get.
func (i *Incoming) Commit(ctx context.Context) error {
	got := Blob{Digest: i.writer.Digest(), Size: i.Arrived()}
	err := i.writer.Commit(ctx, i.blob.Size, i.blob.Digest)
	if errdefs.IsAlreadyExists(err) {
		err = nil
	}
	if err == nil {
		i.end(nil)
		return nil
	}
	if got != i.blob {
		err = &WrongContentError{Want: i.blob, Got: got}
	} else {
		err = &WriteError{Err: err}
	}
	i.end(err)
	return errors.Join(err, i.writer.Close(), i.store.Abort(i.ref))
}

// Fail ends the upload: readers get err. The bytes are kept, so that the next
// operation can resume.
func (i *Incoming) Fail(err error) {
	i.end(err)
	// The operation that resumes checks how many bytes were written.
	_ = i.writer.Close()
}

func (i *Incoming) end(err error) {
	i.change(func() { i.ended, i.err = true, err })
}

func (i *Incoming) change(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
	close(i.changed)
	i.changed = make(chan struct{})
}

// Reader returns a reader of the blob from its beginning. Read waits, until ctx
// ends, for bytes that were not written yet. It returns io.EOF only after Commit
// succeeded, so that a caller that has read everything has read verified content.
// Otherwise it returns the error of Commit or Fail, as does Reader if the bytes are
// deleted already. The caller closes the reader.
func (i *Incoming) Reader(ctx context.Context) (io.ReadCloser, error) {
	file, err := os.Open(filepath.Join(i.store.ingestPath(i.ref), "data"))
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.Open(i.store.path(i.blob.Digest))
	}
	if refused := i.failure(); err != nil && refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("read incoming blob: %w", err)
	}
	return &incomingReader{File: file, ctx: ctx, incoming: i}, nil
}

// failure returns the error of Commit or Fail, which is set before the bytes are
// deleted.
func (i *Incoming) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

type incomingReader struct {
	*os.File
	ctx      context.Context
	incoming *Incoming
	read     int64
}

func (r *incomingReader) Read(data []byte) (int, error) {
	available, err := r.incoming.wait(r.ctx, r.read)
	if err != nil {
		return 0, err
	}
	n, err := r.ReadAt(data[:min(int64(len(data)), available)], r.read)
	r.read += int64(n)
	return n, err
}

// wait waits for bytes beyond the first read ones, and returns how many there
// are. It returns io.EOF after Commit, and the error of Fail or ctx.
func (i *Incoming) wait(ctx context.Context, read int64) (available int64, err error) {
	for {
		i.mu.Lock()
		arrived, ended, err, changed := i.arrived, i.ended, i.err, i.changed
		i.mu.Unlock()
		switch {
		case ended && err != nil:
			return 0, err
		case arrived > read:
			return arrived - read, nil
		case ended:
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// WrongContentError reports content that does not match its descriptor. Class
// DataLoss.
type WrongContentError struct {
	Want, Got Blob
}

func (e *WrongContentError) Error() string {
	if e.Got.Size != e.Want.Size {
		return plaintext.Sprintf("blob %s: got %d bytes, want %d", e.Want.Digest, e.Got.Size, e.Want.Size)
	}
	return plaintext.Sprintf("blob %s: got content of digest %s", e.Want.Digest, e.Got.Digest)
}

// DataLoss marks the error's class.
func (e *WrongContentError) DataLoss() {}
