package engineapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// maxBody bounds every body but a build context: a form, or the settings or
// privileges of one plugin, which a config of at most 1 MiB describes.
const maxBody = 2 << 20

// bounded has a handler read a body of a few MiB at most, and give up a client
// that sends nothing for long.
func bounded(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		return moving(handle)(ctx, w, withBody(r, http.MaxBytesReader(w, r.Body, maxBody)), vars)
	}
}

// moving has a handler give up a client that sends nothing for long, however
// much it sends.
func moving(handle apiFunc) apiFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
		body := &movingBody{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
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

// movingBody fails, for good, where its client sends nothing for as long as
// patience. Time counts only while somebody waits for the client.
type movingBody struct {
	io.ReadCloser
	deadline func(time.Time) error
	silent   error
}

func (b *movingBody) Read(p []byte) (int, error) {
	if b.silent != nil {
		return 0, b.silent
	}
	// Servers that have no deadlines have their own way with such clients.
	_ = b.deadline(time.Now().Add(patience))
	n, err := b.ReadCloser.Read(p)
	_ = b.deadline(time.Time{}) // the next request's, and the look-out for a client that leaves
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.silent = invalid(fmt.Errorf("read request: the client sent nothing for %s", patience))
		err = b.silent
	}
	return n, err
}
