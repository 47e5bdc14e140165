// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"io"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Reader is a reader of a source that may never answer: its Read returns
// when ctx ends, and returns a [SilentError] after patience without a byte. It
// belongs to one goroutine. The caller must call Close.
//
// A Read of the source that is then in progress continues in a goroutine that ends
// with it. Closing the source during that Read ends reads of files, pipes and
// connections.
type Reader struct {
	ctx       context.Context
	source    io.ReadCloser
	patience  time.Duration
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

// NewReader returns a reader of source that waits for each piece of it for
// patience at most.
func NewReader(ctx context.Context, source io.ReadCloser, patience time.Duration) *Reader {
	return &Reader{ctx: ctx, source: source, patience: patience}
}

// SilentError reports a source that sent nothing for some time. Class
// InvalidParameter.
type SilentError struct{ Patience time.Duration }

func (e *SilentError) Error() string {
	return plaintext.Sprintf("the client sent nothing for %s: send the rest without a pause", e.Patience)
}

// InvalidParameter marks the error's class.
func (e *SilentError) InvalidParameter() {}

// Read returns what the source has, or why ctx ended.
func (r *Reader) Read(p []byte) (int, error) {
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

func (r *Reader) next() {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return
	}
	if r.ask == nil {
		r.ask, r.pieces = make(chan struct{}), make(chan piece, 1)
		go deliver(r.source, r.ask, r.pieces)
	}
	r.ask <- struct{}{}
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	select {
	case got := <-r.pieces:
		r.rest, r.err = got.data, got.err
	case <-r.ctx.Done():
		r.abandoned, r.err = true, context.Cause(r.ctx)
	case <-timer.C:
		r.abandoned, r.err = true, &SilentError{Patience: r.patience}
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
func (r *Reader) Close() error {
	if r.ask != nil {
		close(r.ask)
	}
	if !r.abandoned {
		return r.source.Close()
	}
	go r.source.Close()
	return nil
}
