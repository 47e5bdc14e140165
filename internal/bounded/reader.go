package plugin

import (
	"context"
	"io"
)

// interruptible is a reader of a source that may never answer: its Read returns
// when ctx ends. It belongs to one goroutine. Close must follow.
//
// A Read of the source that is then in progress goes on in a goroutine that ends
// with it. The source is closed meanwhile, which ends reads of files, pipes and
// connections.
type interruptible struct {
	ctx       context.Context
	source    io.ReadCloser
	ask       chan struct{} // for the next piece; nil before the first
	pieces    chan piece
	rest      []byte
	err       error
	abandoned bool
}

// piece is what one Read of the source gave.
type piece struct {
	data []byte
	err  error
}

// pieceBytes is large enough for the handing over not to count.
const pieceBytes = 256 << 10

func newInterruptible(ctx context.Context, source io.ReadCloser) *interruptible {
	return &interruptible{ctx: ctx, source: source}
}

// Read returns what the source has, or why ctx ended.
func (r *interruptible) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if len(r.rest) > 0 {
		return n, nil
	}
	return n, r.err
}

func (r *interruptible) next() {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return
	}
	if r.ask == nil {
		r.ask, r.pieces = make(chan struct{}), make(chan piece, 1)
		go deliver(r.source, r.ask, r.pieces)
	}
	r.ask <- struct{}{}
	select {
	case got := <-r.pieces:
		r.rest, r.err = got.data, got.err
	case <-r.ctx.Done():
		r.abandoned, r.err = true, context.Cause(r.ctx)
	}
}

// deliver reads a piece each time it is asked. A piece is valid until the next.
func deliver(source io.Reader, ask <-chan struct{}, pieces chan<- piece) {
	buffer := make([]byte, pieceBytes)
	for range ask {
		n, err := source.Read(buffer)
		pieces <- piece{buffer[:n], err}
	}
}

// Close closes the source, and does not wait for that while a Read is in
// progress: some sources close only then.
func (r *interruptible) Close() error {
	if r.ask != nil {
		close(r.ask)
	}
	if !r.abandoned {
		return r.source.Close()
	}
	go r.source.Close()
	return nil
}
