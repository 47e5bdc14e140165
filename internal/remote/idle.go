package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// idleGuard ends requests on which a registry lets too much time pass without
// a byte. Time that the caller takes doesn't count.
type idleGuard struct {
	next    http.RoundTripper
	timeout time.Duration
}

func (g *idleGuard) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	stalled := &StalledError{Host: request.URL.Host, Timeout: g.timeout}
	timer := time.AfterFunc(g.timeout, func() { cancel(stalled) })
	watched := request.WithContext(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		watched.Body = &guardedUpload{ReadCloser: request.Body, timer: timer, timeout: g.timeout}
	}
	response, err := g.next.RoundTrip(watched)
	timer.Stop()
	if err != nil {
		err = stallOf(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Body = &guardedBody{ReadCloser: response.Body, ctx: ctx, cancel: cancel, timer: timer, timeout: g.timeout}
	return response, nil
}

// stallOf is why a request failed: the registry's idleness, or else err.
func stallOf(ctx context.Context, err error) error {
	var stalled *StalledError
	if errors.As(context.Cause(ctx), &stalled) {
		return stalled
	}
	return err
}

// guardedUpload lets time pass only while the registry has to take bytes.
type guardedUpload struct {
	io.ReadCloser
	timer   *time.Timer
	timeout time.Duration
}

func (u *guardedUpload) Read(p []byte) (int, error) {
	u.timer.Stop()
	n, err := u.ReadCloser.Read(p)
	u.timer.Reset(u.timeout)
	return n, err
}

// guardedBody lets time pass only while the registry has to send bytes.
type guardedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
	closed  sync.Once
}

func (b *guardedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = stallOf(b.ctx, err)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	err := b.ReadCloser.Close()
	b.closed.Do(func() {
		b.timer.Stop()
		b.cancel(nil)
	})
	return err
}
