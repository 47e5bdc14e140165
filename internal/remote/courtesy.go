package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// courtesy makes requests that every registry understands and that tell
// nobody what is not meant for him, and holds answers that go into memory to
// their limit.
type courtesy struct {
	next    http.RoundTripper
	session *session
}

func (c *courtesy) RoundTrip(request *http.Request) (*http.Response, error) {
	done, ok := c.session.begin()
	if !ok {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, context.Canceled
	}
	defer done()
	request = request.Clone(request.Context())
	if leaves(request) {
		request.Header.Del("Authorization")
	}
	// Some registries don't split a list of types.
	if accepted := request.Header.Values("Accept"); len(accepted) > 0 {
		request.Header["Accept"] = strings.Split(strings.Join(accepted, ", "), ", ")
	}
	// Content is addressed by the digest of its bytes, not of their encoding.
	request.Header.Set("Accept-Encoding", "identity")
	response, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if isBlob(request) {
		return response, nil
	}
	tooLarge := &TooLargeError{What: "answer of " + request.URL.Host, Limit: "ManifestBytes", Max: defaultManifestBytes}
	if response.ContentLength > defaultManifestBytes {
		_ = response.Body.Close()
		return nil, tooLarge
	}
	response.Body = &limitedBody{ReadCloser: response.Body, left: defaultManifestBytes, tooLarge: tooLarge}
	return response, nil
}

// isBlob tells requests whose answer is streamed: those of blobs, and what a
// registry redirects them to.
func isBlob(request *http.Request) bool {
	for ; request != nil; request = redirectedFrom(request) {
		if strings.Contains(request.URL.Path, "/blobs/") {
			return true
		}
	}
	return false
}

// leaves tells a request that a registry redirected to somebody else, or to
// itself in the clear.
func leaves(request *http.Request) bool {
	from := redirectedFrom(request)
	if from == nil {
		return false
	}
	return from.URL.Host != request.URL.Host || from.URL.Scheme == "https" && request.URL.Scheme != "https"
}

func redirectedFrom(request *http.Request) *http.Request {
	if request.Response == nil {
		return nil
	}
	return request.Response.Request
}

// limitedBody fails where an answer gets longer than a manifest may be.
type limitedBody struct {
	io.ReadCloser
	left     int64
	tooLarge error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.tooLarge
	}
	return n, err
}

// mirrorGate stops asking a mirror that failed once: the registry behind it is
// asked next anyway, and waiting for the mirror each time helps nobody.
type mirrorGate struct {
	next http.RoundTripper
	host string
	down atomic.Bool
}

func (g *mirrorGate) RoundTrip(request *http.Request) (*http.Response, error) {
	if g.down.Load() {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, fmt.Errorf("mirror %s failed before", g.host)
	}
	response, err := g.next.RoundTrip(request)
	if err != nil {
		g.down.Store(request.Context().Err() == nil)
		return nil, err
	}
	response.Body = &watchedBody{ReadCloser: response.Body, failed: func() {
		g.down.Store(request.Context().Err() == nil)
	}}
	return response, nil
}

// watchedBody reports a body that breaks.
type watchedBody struct {
	io.ReadCloser
	failed func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed()
	}
	return n, err
}
