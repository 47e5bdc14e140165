// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content returns the store as a containerd content store for one operation. Pin
// holds each blob that the operation asks for or writes.
//
// Writer waits, until ctx ends, while another writer has the same ref, so that
// operations that need the same blob fetch it once. A writer that is closed
// before Commit leaves its bytes, and the next writer of the ref resumes there. A
// blob is durable when Commit returns nil or an error of class AlreadyExists. The
// caller closes the writer also after any other error. Delete always fails: see
// [Store.Sweep].
func (s *Store) Content(pin *Pin) content.Store {
	return &pinnedContent{Store: s.content, store: s, pin: pin}
}

type pinnedContent struct {
	content.Store
	store *Store
	pin   *Pin
}

func (c *pinnedContent) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	c.pin.Add(dgst)
	return c.Store.Info(ctx, dgst)
}

func (c *pinnedContent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	c.pin.Add(desc.Digest)
	return c.Store.ReaderAt(ctx, desc)
}

func (c *pinnedContent) Delete(context.Context, digest.Digest) error {
	return fmt.Errorf("delete blob of a shared store: %w", errdefs.ErrFailedPrecondition)
}

func (c *pinnedContent) Abort(_ context.Context, ref string) error {
	return c.store.Abort(ref)
}

func (c *pinnedContent) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var options content.WriterOpts
	for _, opt := range opts {
		if err := opt(&options); err != nil {
			return nil, err
		}
	}
	if options.Desc.Digest != "" {
		c.pin.Add(options.Desc.Digest)
	}
	if err := c.store.claim(ctx, options.Ref); err != nil {
		return nil, err
	}
	writer, err := c.begin(ctx, options.Ref, opts)
	if err != nil {
		err = errors.Join(err, c.store.discardHalfMade(options.Ref))
		c.store.writing.Release(ingestDir(options.Ref))
		return nil, err
	}
	free := sync.OnceFunc(func() { c.store.writing.Release(ingestDir(options.Ref)) })
	return &pinnedWriter{Writer: writer, store: c.store, pin: c.pin, free: free}, nil
}

// claim waits until no other operation writes the ingest of ref, and claims it.
func (s *Store) claim(ctx context.Context, ref string) error {
	for {
		other, ok := s.writing.Try(ingestDir(ref), struct{}{})
		if ok {
			return nil
		}
		if err := other.Await(ctx); err != nil {
			return err
		}
	}
}

func (c *pinnedContent) begin(ctx context.Context, ref string, opts []content.WriterOpt) (writer content.Writer, err error) {
	err = c.store.fs.Do("ingest", c.store.ingestPath(ref), func() (err error) {
		writer, err = c.Store.Writer(ctx, opts...)
		return err
	})
	if err != nil && writer != nil {
		err = errors.Join(err, writer.Close())
	}
	return writer, err
}

// pinnedWriter pins the blobs that it commits, and makes them durable. It refuses
// to write once another manager owns the root, because that manager can write the
// same content.
type pinnedWriter struct {
	content.Writer
	store *Store
	pin   *Pin
	free  func()
}

func (w *pinnedWriter) Write(data []byte) (n int, err error) {
	err = w.store.fs.Guarded("write", w.store.dir, func() (err error) {
		n, err = w.Writer.Write(data)
		return err
	})
	return n, err
}

func (w *pinnedWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	dgst := w.Digest()
	w.pin.Add(dgst)
	err := w.store.fs.Do("commit", w.store.path(dgst), func() error {
		return w.Writer.Commit(ctx, size, expected, opts...)
	})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	// Sync also after AlreadyExists: another operation may have committed this
	// blob without having synced its name yet.
	if err := w.store.sync(dgst); err != nil {
		return err
	}
	w.free()
	return err
}

func (w *pinnedWriter) Close() error {
	defer w.free()
	return w.Writer.Close()
}
