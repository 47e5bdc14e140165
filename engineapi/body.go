// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/docker/docker/api/server/router"

	"github.com/dovetailhq/plugin/internal/class"
)

// maxBodyItems bounds the commas in a body, and so its values. An empty object
// has three bytes in JSON and a hundred when decoded.
const maxBodyItems = 64 << 10

// Streaming marks the routes of r as routes with bodies of any length, such as
// archives, which the handler reads piece by piece. [NewMux] takes at most 1
// MiB for any other route. Slow clients are given up on all routes.
func Streaming(r router.Router) router.Router {
	var marked routes
	for _, route := range r.Routes() {
		marked = append(marked, streaming{route})
	}
	return marked
}

// streaming is a route with bodies of any length.
type streaming struct{ router.Route }

// buffered reads the whole body into memory before it calls handle. It returns
// an error instead if the body is too large or the client too slow. Once the
// body is read, the server notices a client that disconnects.
func (b *budget) buffered(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if _, done := r.Body.(*bufferedBody); done || r.Body == nil || r.Body == http.NoBody {
			return handle(ctx, w, r, vars)
		}
		body, err := b.read(ctx, &pacedBody{
			ReadCloser: r.Body,
			deadline:   http.NewResponseController(w).SetReadDeadline,
			pace:       pace{fixed: true},
		})
		if err != nil {
			return err
		}
		defer body.release()
		return handle(ctx, w, withBody(r, &bufferedBody{bytes.NewReader(body.data)}), vars)
	}
}

// bufferedBody is a body in memory.
type bufferedBody struct{ *bytes.Reader }

// Close does nothing.
func (*bufferedBody) Close() error { return nil }

// read reads body into memory, in a place of b if it is longer than freeBody.
func (b *budget) read(ctx context.Context, body io.Reader) (*heldBody, error) {
	held := &heldBody{budget: b}
	err := held.readFrom(ctx, body)
	switch {
	case err != nil:
	case len(held.data) > maxBody:
		err = class.InvalidParameter(fmt.Errorf("read request: its body has more than %d bytes", maxBody))
	case bytes.Count(held.data, []byte(",")) > maxBodyItems:
		err = class.InvalidParameter(fmt.Errorf("read request: its body has more than %d values", maxBodyItems))
	}
	if err != nil {
		held.release()
		return nil, err
	}
	return held, nil
}

// streamed calls handle with a body that fails when the client sends nothing
// for patience, or less than minRate. The body's length has no bound.
func streamed(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if _, done := r.Body.(*pacedBody); done {
			return handle(ctx, w, r, vars)
		}
		body := &pacedBody{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
		return handle(ctx, w, withBody(r, body), vars)
	}
}

// withBody returns a copy of r with another body. r itself keeps its body, by
// which the server decides whether the connection can be used again.
func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	r = r.WithContext(r.Context())
	r.Body = body
	return r
}

// pacedBody is a body that fails, for good, if its client is slower than its
// pace. Close ends a Read that is in progress.
type pacedBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	pace     pace
	slow     error

	mu          sync.Mutex // guards the fields below
	reading     bool
	interrupted bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.slow != nil {
		return 0, b.slow
	}
	began := time.Now()
	if !b.beginRead(began) {
		return 0, net.ErrClosed
	}
	n, err := b.ReadCloser.Read(p)
	if !b.endRead() {
		return n, net.ErrClosed
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.slow = class.InvalidParameter(fmt.Errorf("read request: %s", b.pace.violation(began)))
		err = b.slow
	}
	b.pace.count(began, n)
	return n, err
}

// beginRead begins a Read and reports false if the body was closed during one.
func (b *pacedBody) beginRead(began time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.interrupted {
		return false
	}
	b.reading = true
	// Ignored: a server without deadlines handles slow clients in its own way.
	_ = b.deadline(began.Add(b.pace.remaining()))
	return true
}

// endRead ends a Read and reports false if the body was closed during it.
func (b *pacedBody) endRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if b.interrupted {
		return false
	}
	_ = b.deadline(time.Time{}) // the server waits for the next request, and notices a client that disconnects
	return true
}

func (b *pacedBody) isInterrupted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interrupted
}

// Close ends a Read that is in progress, and with it the connection. Otherwise
// it does nothing: the server closes bodies.
func (b *pacedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.reading {
		return nil
	}
	b.interrupted = true
	return b.deadline(time.Unix(1, 0))
}

// discard reads the rest of a refused body, for a minute at most. A client that
// is cut off while it sends reports a broken connection besides the answer.
func (b *pacedBody) discard() {
	if b.isInterrupted() {
		return // a Read may still be in progress
	}
	b.pace = pace{fixed: true}
	_, _ = io.CopyN(io.Discard, b, discardLimit) // an error means a client that is gone
}

// discardLimit bounds how much of a refused body is read. Beyond it the
// transfer costs the client more than the error that it is spared.
const discardLimit = 256 << 20
