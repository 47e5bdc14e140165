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
)

const (
	// maxBody bounds every body but those of streams, such as a build
	// context: a form, or the settings or privileges of one plugin. Docker's
	// authorization middleware shows plugins no longer body, and lets it pass:
	// https://github.com/moby/moby/security/advisories/GHSA-x744-4wpc-v9h2.
	maxBody = 1<<20 - 1
	// maxBodyItems bounds the commas in it, hence the values. A decoder makes
	// a hundred bytes of an empty object, which takes three.
	maxBodyItems = 64 << 10
	// smallBody is what every request may hold in memory. Longer bodies wait
	// for one of largeBodies places.
	smallBody   = 64 << 10
	largeBodies = 8
)

// places has room for each body beyond smallBody that is in memory, so that
// many clients together need not much more of it than one.
type places chan struct{}

func newPlaces() places { return make(places, largeBodies) }

// Streaming marks the routes of r as ones whose requests have bodies of any
// length, to be read piece by piece: archives, above all. [NewMux] takes at
// most 1 MiB for any other route. Slow clients are given up all the same.
func Streaming(r router.Router) router.Router {
	var marked routes
	for _, route := range r.Routes() {
		marked = append(marked, streaming{route})
	}
	return marked
}

// streaming is a route that may have bodies of any length.
type streaming struct{ router.Route }

// held makes handle find the whole body in memory, or answers that it is too
// large, or that the client takes too long. With the body read, the server
// notices a client that leaves.
func (p places) held(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if _, done := r.Body.(*heldBody); done || r.Body == nil || r.Body == http.NoBody {
			return handle(ctx, w, r, vars)
		}
		body, release, err := p.hold(ctx, &pacedBody{
			ReadCloser: r.Body,
			deadline:   http.NewResponseController(w).SetReadDeadline,
			pace:       pace{altogether: true},
		})
		defer release()
		if err != nil {
			return err
		}
		return handle(ctx, w, withBody(r, &heldBody{bytes.NewReader(body)}), vars)
	}
}

// heldBody is a body in memory.
type heldBody struct{ *bytes.Reader }

// Close does nothing.
func (*heldBody) Close() error { return nil }

// hold reads body. What it holds is free again with release.
func (p places) hold(ctx context.Context, body io.Reader) (held []byte, release func(), err error) {
	release = func() {}
	held, err = io.ReadAll(io.LimitReader(body, smallBody))
	if err == nil && len(held) == smallBody {
		if release, err = p.take(ctx); err == nil {
			var rest []byte
			rest, err = io.ReadAll(io.LimitReader(body, maxBody+1-smallBody))
			held = append(held, rest...)
		}
	}
	var busy busyError
	switch {
	case errors.As(err, &busy):
		return nil, release, err
	case err != nil:
		return nil, release, invalid(err)
	case len(held) > maxBody:
		return nil, release, invalid(fmt.Errorf("read request: its body has more than %d bytes", maxBody))
	case bytes.Count(held, []byte(",")) > maxBodyItems:
		return nil, release, invalid(fmt.Errorf("read request: its body has more than %d values", maxBodyItems))
	}
	return held, release, nil
}

// take waits for a place.
func (p places) take(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
	case <-timer.C:
		return func() {}, busyError{errors.New("too many large requests at a time: try again later")}
	case <-ctx.Done():
		return func() {}, ctx.Err() // the client is gone
	}
}

// moving has a handler give up a client that sends nothing for long, or next
// to nothing, however much it sends in all.
func moving(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		if _, done := r.Body.(*pacedBody); done {
			return handle(ctx, w, r, vars)
		}
		body := &pacedBody{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
		return handle(ctx, w, withBody(r, body), vars)
	}
}

// withBody returns a copy of r: by the body of r itself, the server tells
// whether the connection can be used again.
func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	r = r.WithContext(r.Context())
	r.Body = body
	return r
}

// pacedBody fails, for good, where its client is slower than its pace. Close
// ends a Read that is in progress.
type pacedBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	pace     pace
	slow     error

	mu          sync.Mutex // guards what follows
	reading     bool
	interrupted bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.slow != nil {
		return 0, b.slow
	}
	began := time.Now()
	if !b.enter(began) {
		return 0, net.ErrClosed
	}
	n, err := b.ReadCloser.Read(p)
	if !b.leave() {
		return n, net.ErrClosed
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.slow = invalid(fmt.Errorf("read request: %s", b.pace.complaint(began)))
		err = b.slow
	}
	b.pace.waitedFor(began, n)
	return n, err
}

// enter begins a Read, unless one was interrupted.
func (b *pacedBody) enter(began time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.interrupted {
		return false
	}
	b.reading = true
	// Servers that have no deadlines have their own way with such clients.
	_ = b.deadline(began.Add(b.pace.left()))
	return true
}

// leave ends it, and reports whether it was not interrupted.
func (b *pacedBody) leave() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if b.interrupted {
		return false
	}
	_ = b.deadline(time.Time{}) // the next request's, and the look-out for a client that leaves
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

// discard takes what is left of a body that was refused, for a minute at most:
// a client that is cut off while it sends complains about that, beside the
// answer.
func (b *pacedBody) discard() {
	if b.isInterrupted() {
		return // a Read may still be in progress
	}
	b.pace = pace{altogether: true}
	_, _ = io.CopyN(io.Discard, b, discardLimit) // a client that is gone is no matter
}

// discardLimit is how much of a refused body is still taken. More costs the
// client more than the complaint it is spared.
const discardLimit = 256 << 20
