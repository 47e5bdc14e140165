// SPDX-License-Identifier: Apache-2.0

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

// Layer is a layer that is in the store or being downloaded.
type Layer struct {
	ocispec.Descriptor
	arrival *arrival
}

// Open returns a reader of the layer from its beginning. Open and reads wait for
// missing bytes until ctx ends. After the last byte the reader returns io.EOF only
// if the layer has the size and digest of the manifest. The caller closes it.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) {
	select {
	case <-l.arrival.readable:
		return l.arrival.open(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Fetch downloads all layers that are not in the store, several at a time. It
// calls consume with the layers in order, on the caller's goroutine, and returns
// when the downloads and consume have ended. When a layer fails, consume's ctx
// ends and its readers fail; when consume fails, the downloads end. Fetch returns
// the first error; errors of layers have the classes of [Client.Resolve]. Partial
// downloads stay for the next operation that needs them, unless the error is of
// class InvalidParameter: such a plugin is not pulled again.
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
		cancel(p.session.discardDamaged(ctx, arrivals, err))
	}
	workers.Wait()
	cause := context.Cause(ctx)
	if errdefs.IsInvalidArgument(cause) {
		p.session.forgetPartials(arrivals)
	}
	for _, a := range arrivals {
		// An error that consume made from a layer's error adds nothing to it.
		if a.err != nil && errors.Is(cause, a.err) {
			return a.err
		}
	}
	if outer.Err() != nil && cause == context.Cause(outer) {
		return &operationError{"pull", p.session.name(), cause}
	}
	return cause
}

// arrivals returns the layers, and one arrival for each blob: a plugin can have a
// layer twice.
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

// bring fetches one layer and makes it readable as soon as possible.
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

// forgetPartials deletes partial downloads.
func (s *session) forgetPartials(arrivals []*arrival) {
	for _, a := range arrivals {
		// After an error the partial download stays listed as unfinished.
		_ = s.client.options.Blobs.Forget(a.descriptor.Digest, s.source())
	}
}

// discardDamaged removes a layer from the store if its damage is the reason for err,
// so that the next pull fetches it. It returns the damage, or else err: damage can
// make an archive malformed before a read reaches the end and verifies the layer.
func (s *session) discardDamaged(ctx context.Context, arrivals []*arrival, err error) error {
	store := s.client.options.Blobs
	for _, a := range arrivals {
		if errdefs.IsInvalidArgument(err) && a.isStored() {
			if corrupt, ok := find[*blobs.CorruptError](store.Verify(ctx, a.descriptor.Digest)); ok {
				err = &operationError{"pull", s.name(), corrupt}
			}
		}
	}
	if corrupt, ok := find[*blobs.CorruptError](err); ok {
		// After an error the layer stays, and the next read finds the damage again.
		_ = store.DiscardCorrupt(ctx, corrupt.Digest)
	}
	return err
}

// arrival is the state of a layer: readable during its download, readable from
// the store, or failed.
type arrival struct {
	descriptor ocispec.Descriptor
	store      *blobs.Store

	settled  sync.Once
	readable chan struct{} // closed when incoming and refused are set
	incoming *blobs.Incoming
	refused  error // why the layer can't be read
	err      error // why the download failed; set at its end
}

func (a *arrival) settle(in *blobs.Incoming, refused error) {
	a.settled.Do(func() {
		a.incoming, a.refused = in, refused
		close(a.readable)
	})
}

// isStored reports whether the layer is read from the store.
func (a *arrival) isStored() bool {
	select {
	case <-a.readable:
		return a.incoming == nil && a.refused == nil
	default:
		return false
	}
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
