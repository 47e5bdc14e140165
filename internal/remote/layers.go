package remote

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// Layer is a layer that comes, or is here.
type Layer struct {
	ocispec.Descriptor
	arrival *arrival
}

// Open reads a layer from its beginning, and waits, no longer than ctx, for
// bytes that are yet to come. Its last byte is followed by io.EOF only if the
// layer is what the manifest promised. The caller closes it.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) {
	select {
	case <-l.arrival.readable:
		return l.arrival.open(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Fetch brings all layers that are not in the store, several at once, while
// consume, on the caller's goroutine, gets them in order. It returns when both
// have ended. When a layer fails, consume's ctx ends and its readers fail; when
// consume fails, fetching ends. The error is that of who failed first, for
// layers of the classes that [Client.Resolve] tells. What was cut off is
// resumed by the next operation that needs it; but when the error is of class
// InvalidParameter there will be none, and nothing is kept.
func (p *Plugin) Fetch(ctx context.Context, consume func(ctx context.Context, layers []*Layer) error) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	layers, arrivals := p.arrivals()
	queue := make(chan *arrival, len(arrivals))
	for _, a := range arrivals {
		progress.Update(p.session.request.Progress, short(a.descriptor), "Pulling fs layer")
		queue <- a
	}
	close(queue)
	var workers sync.WaitGroup
	for range min(len(arrivals), p.session.client.options.Transfers) {
		workers.Go(func() {
			for a := range queue {
				if err := p.session.bring(ctx, a); err != nil {
					cancel(err)
				}
			}
		})
	}
	if err := consume(ctx, layers); err != nil {
		p.session.discardCorrupt(ctx, err)
		cancel(err)
	}
	workers.Wait()
	cause := context.Cause(ctx)
	if errdefs.IsInvalidArgument(cause) {
		p.session.forget(arrivals)
	}
	for _, a := range arrivals {
		// What consume makes of a layer's error says no more than the error.
		if a.err != nil && errors.Is(cause, a.err) {
			return a.err
		}
	}
	if outer.Err() != nil && cause == context.Cause(outer) {
		return &operationError{"pull", p.session.name(), cause}
	}
	return cause
}

// arrivals are one for each blob, for a plugin may have a layer twice.
func (p *Plugin) arrivals() ([]*Layer, []*arrival) {
	var layers []*Layer
	var arrivals []*arrival
	known := map[digest.Digest]*arrival{}
	for _, d := range p.Layers {
		a, ok := known[d.Digest]
		if !ok {
			a = &arrival{descriptor: d, store: p.session.client.options.Blobs, readable: make(chan struct{})}
			known[d.Digest] = a
			arrivals = append(arrivals, a)
		}
		layers = append(layers, &Layer{Descriptor: d, arrival: a})
	}
	return layers, arrivals
}

// bring fetches one layer and lets it be read as soon as possible.
func (s *session) bring(ctx context.Context, a *arrival) error {
	err := context.Cause(ctx)
	if err == nil {
		err = s.fetch(ctx, a.descriptor, s.request.Progress, func(in *blobs.Incoming) { a.settle(in, nil) })
		err = s.explain(ctx, "pull", err)
	}
	a.settle(nil, err)
	a.err = err
	return err
}

// forget throws away what came of layers that nobody wants.
func (s *session) forget(arrivals []*arrival) {
	for _, a := range arrivals {
		// What can't be deleted stays listed as unfinished.
		_ = s.client.options.Blobs.Forget(a.descriptor.Digest, s.source())
	}
}

// discardCorrupt lets a layer that was here, and turned out to be damaged as it
// was read, be fetched the next time.
func (s *session) discardCorrupt(ctx context.Context, err error) {
	var corrupt *blobs.CorruptError
	if errors.As(err, &corrupt) {
		// What can't be deleted is found out again, and refused again.
		_ = s.client.options.Blobs.DiscardCorrupt(ctx, corrupt.Digest)
	}
}

// arrival is how a layer can be read: while it comes, from the store, or not.
type arrival struct {
	descriptor ocispec.Descriptor
	store      *blobs.Store

	settled  sync.Once
	readable chan struct{} // closed when the rest is known
	incoming *blobs.Incoming
	refused  error // why it can't be read
	err      error // why it did not come; known at the end
}

func (a *arrival) settle(in *blobs.Incoming, refused error) {
	a.settled.Do(func() {
		a.incoming, a.refused = in, refused
		close(a.readable)
	})
}

func (a *arrival) open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case a.refused != nil:
		return nil, a.refused
	case a.incoming != nil:
		return a.incoming.Reader(ctx)
	}
	return a.store.Reader(ctx, a.descriptor.Digest)
}
