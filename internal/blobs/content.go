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

// Content returns the store as containerd's packages know it, for one
// operation: pin holds each blob that is asked for or written.
//
// A Writer waits, no longer than its ctx, while another one has the same ref,
// so that of operations that need the same blob one fetches it. A Writer that
// was closed before its Commit leaves its bytes, and the next one with its ref
// resumes there. A Commit that returned nil or an error of class AlreadyExists
// survives a power cut; after any other error, too, the Writer is to be closed.
// Blobs are not deleted this way: see [Store.Sweep].
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
	if err := c.store.refs.claim(ctx, options.Ref); err != nil {
		return nil, err
	}
	writer, err := c.begin(ctx, options.Ref, opts)
	if err != nil {
		err = errors.Join(err, c.store.discardHalfMade(options.Ref))
		c.store.refs.release(options.Ref)
		return nil, err
	}
	free := sync.OnceFunc(func() { c.store.refs.release(options.Ref) })
	return &pinnedWriter{Writer: writer, store: c.store, pin: c.pin, free: free}, nil
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

// pinnedWriter holds what it commits, and makes it durable. It writes nothing
// once the root has another owner, who may write the same content.
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
	// Who finds the bytes here does not know how far who brought them has got.
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
