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

// Incoming is a blob of known digest on its way in. It can be read while it
// comes. One goroutine writes it; Commit or Fail ends it.
type Incoming struct {
	// Resumed is how many bytes were here already, from an operation that was
	// cut off. They are verified by Commit, not before.
	Resumed int64

	blob   Blob
	ref    string
	store  *Store
	writer content.Writer

	mu      sync.Mutex
	arrived int64
	ended   bool
	err     error         // why it ended, nil after Commit
	changed chan struct{} // closed at the next change, and replaced
}

// Incoming begins or resumes a blob from a source, held by pin. It waits, no
// longer than ctx, while another operation brings the same blob from the same
// source: one fetch is enough for both. It waits for no other source, which may
// be slow on purpose. The error is of class AlreadyExists when the blob is here,
// and a [DescriptorError] when it is here with another size.
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

// fetchRef is what a blob of known digest is written under.
func fetchRef(dgst digest.Digest, source string) string {
	return "fetch " + dgst.String() + " " + source
}

// digestOf returns the digest in a ref of fetchRef.
func digestOf(ref string) digest.Digest {
	_, rest, _ := strings.Cut(ref, " ")
	dgst, _, _ := strings.Cut(rest, " ")
	return digest.Digest(dgst)
}

// Forget throws away what came of a blob from a source, unless another operation
// is bringing it.
func (s *Store) Forget(dgst digest.Digest, source string) error {
	err := s.Abort(fetchRef(dgst, source))
	if errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// Write adds bytes; readers see them at once. The error is a [WriteError].
func (i *Incoming) Write(data []byte) (int, error) {
	n, err := write(i.writer, data)
	i.change(func() { i.arrived += int64(n) })
	return n, err
}

// Arrived returns how many bytes are here, those resumed included.
func (i *Incoming) Arrived() int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.arrived
}

// Commit verifies what came, makes it a blob that survives a power cut, and
// lets readers end. What is not the promised blob is thrown away: the error is
// a [WrongContentError], for readers too.
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

// Fail gives up for now: readers end with err, and what came stays for the
// next operation to resume.
func (i *Incoming) Fail(err error) {
	i.end(err)
	// The bytes are not needed; whether they are all here is found out by who
	// resumes them.
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

// Reader reads the blob from its beginning and waits, no longer than ctx, for
// bytes that are yet to come. It ends with io.EOF after Commit succeeded, so
// that who has read everything has read what was promised, and with the error
// of Commit or Fail otherwise. The caller closes it.
func (i *Incoming) Reader(ctx context.Context) (io.ReadCloser, error) {
	file, err := os.Open(filepath.Join(i.store.ingestPath(i.ref), "data"))
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.Open(i.store.path(i.blob.Digest))
	}
	if err != nil {
		return nil, fmt.Errorf("read incoming blob: %w", err)
	}
	return &incomingReader{File: file, ctx: ctx, incoming: i}, nil
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

// wait returns how many bytes are here beyond those read, at least one.
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

// WrongContentError refuses content that is not what was promised. Class
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
