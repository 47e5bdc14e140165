package remote

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// pacer ends exchanges in which a server takes too long: without a byte for
// IdleTimeout, with less than LeastRate over as long, or without an answer for
// CommitTimeout after it was sent all of an upload. Time that this process
// takes doesn't count.
type pacer struct {
	next    http.RoundTripper
	options Options
	// questions are bodies that are no uploads: there is nothing to commit.
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
	upload.theirs(p.options.IdleTimeout, "sent nothing")
	response, err := p.next.RoundTrip(watched)
	upload.end()
	if err != nil {
		err = stallOf(ctx, err)
		cancel(nil)
		return nil, err
	}
	download := newPace(request.URL.Host, p.options, cancel)
	response.Body = &pacedBody{ReadCloser: response.Body, ctx: ctx, cancel: cancel, pace: download}
	return response, nil
}

// stallOf is why an exchange failed: the server's slowness, or else err.
func stallOf(ctx context.Context, err error) error {
	if stalled, ok := find[*StalledError](context.Cause(ctx)); ok {
		return stalled
	}
	return err
}

// pacedUpload is read as fast as the server takes it. When all is read, the
// server can still be busy with it.
type pacedUpload struct {
	io.ReadCloser
	pace     *pace
	question bool
	read     int // by the last Read
}

func (u *pacedUpload) Read(data []byte) (int, error) {
	u.pace.ours(u.read)
	n, err := u.ReadCloser.Read(data)
	u.read = n
	switch {
	case u.question:
		u.pace.theirs(u.pace.options.IdleTimeout, "did not answer")
	case err == io.EOF:
		u.pace.theirs(u.pace.options.CommitTimeout, unansweredUpload)
	default:
		u.pace.theirs(u.pace.options.IdleTimeout, "took nothing of an upload")
	}
	return n, err
}

type pacedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	pace   *pace
	closed sync.Once
}

func (b *pacedBody) Read(data []byte) (int, error) {
	b.pace.theirs(b.pace.options.IdleTimeout, "sent nothing")
	n, err := b.ReadCloser.Read(data)
	b.pace.ours(n)
	if err != nil && err != io.EOF {
		err = stallOf(b.ctx, err)
	}
	return n, err
}

func (b *pacedBody) Close() error {
	err := b.ReadCloser.Close()
	b.closed.Do(func() {
		b.pace.end()
		b.cancel(nil)
	})
	return err
}
