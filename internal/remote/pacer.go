// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// pacer ends an exchange with a server that sends no byte for IdleTimeout, is
// slower than MinRate over such a period, or does not answer a complete upload
// within CommitTimeout. The time of this process does not count.
type pacer struct {
	next    http.RoundTripper
	options Options
	// questions is set if request bodies are not uploads: CommitTimeout does not
	// apply to them.
	questions bool
}

func (p *pacer) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	upload := newPace(request.URL.Host, p.options, cancel)
	watched := request.WithContext(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		watched.Body = &pacedUpload{ReadCloser: request.Body, pace: upload, question: p.questions}
		watched.GetBody = func() (io.ReadCloser, error) {
			body, err := request.GetBody()
			if err != nil {
				return nil, err
			}
			return &pacedUpload{ReadCloser: body, pace: upload, question: p.questions}, nil
		}
	}
	upload.beginTurn(p.firstTurn(request))
	response, err := p.next.RoundTrip(watched)
	upload.end()
	if err != nil {
		err = stallOf(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Body = newPacedBody(response.Body, ctx, cancel, newPace(request.URL.Host, p.options, cancel))
	return response, nil
}

// firstTurn returns the bound of the server's turn that begins with a request, and
// what a server that exceeds it did. A body of no bytes completes an upload in chunks,
// which the server may process for as long as one in a single request.
func (p *pacer) firstTurn(request *http.Request) (bound time.Duration, what string) {
	if request.Body == http.NoBody && !p.questions {
		return p.options.CommitTimeout, unansweredUpload
	}
	return p.options.IdleTimeout, "sent nothing"
}

// stallOf returns the [StalledError] that ended the exchange, or else err.
func stallOf(ctx context.Context, err error) error {
	if stalled, ok := find[*StalledError](context.Cause(ctx)); ok {
		return stalled
	}
	return err
}

// pacedUpload is a request body. The transport reads it as fast as the server
// receives it; the server may process it after the last read.
type pacedUpload struct {
	io.ReadCloser
	pace     *pace
	question bool
	read     int // by the last Read
}

func (u *pacedUpload) Read(data []byte) (int, error) {
	u.pace.endTurn(u.read)
	n, err := u.ReadCloser.Read(data)
	u.read = n
	switch {
	case u.question:
		u.pace.beginTurn(u.pace.options.IdleTimeout, "did not answer")
	case err == io.EOF:
		u.pace.beginTurn(u.pace.options.CommitTimeout, unansweredUpload)
	default:
		u.pace.beginTurn(u.pace.options.IdleTimeout, "took nothing of an upload")
	}
	return n, err
}

// pacedBody is a response body. The end of ctx closes it: over HTTP/2 a server can
// answer before it has received the request's body, and a client that waits for the
// server to receive more does not watch ctx (awaitFlowControl in
// https://github.com/golang/net/blob/v0.39.0/http2/transport.go). Closing the
// response ends that wait.
type pacedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	pace   *pace
	forget func() bool // forgets ctx, and reports whether ctx has not ended
	closed sync.Once
}

func newPacedBody(body io.ReadCloser, ctx context.Context, cancel context.CancelCauseFunc, pace *pace) *pacedBody {
	b := &pacedBody{ReadCloser: body, ctx: ctx, cancel: cancel, pace: pace}
	b.forget = context.AfterFunc(ctx, func() { _ = body.Close() })
	return b
}

func (b *pacedBody) Read(data []byte) (int, error) {
	b.pace.beginTurn(b.pace.options.IdleTimeout, "sent nothing")
	n, err := b.ReadCloser.Read(data)
	b.pace.endTurn(n)
	if err != nil && err != io.EOF {
		err = stallOf(b.ctx, err)
	}
	return n, err
}

// Close does not wait for a body that the end of ctx closes, because a client that
// can't write to its connection delays that.
func (b *pacedBody) Close() (err error) {
	b.closed.Do(func() {
		if b.forget() {
			err = b.ReadCloser.Close()
		}
		b.pace.end()
		b.cancel(nil)
	})
	return err
}
