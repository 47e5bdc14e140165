package engineapi

import (
	"net/http"
	"time"
)

const (
	// headerTimeout is how long a client may take to say what it wants.
	headerTimeout = 30 * time.Second
	// keepAliveTimeout is how long a connection may wait for its next
	// request; docker's client gives its own up earlier.
	keepAliveTimeout = 5 * time.Minute
	// maxHeaderBytes bounds a request's headers, among which are credentials
	// for registries, tokens of some KiB at most.
	maxHeaderBytes = 128 << 10
	// patience is how long a client may be silent while it sends a body, and
	// how long altogether it may leave what it is sent of progress unread. How
	// long a request takes as a whole has no bound: a build context may be
	// large, and a start slow.
	patience = time.Minute
)

// NewServer returns a server of handler, to be given a listener, that no slow
// or excessive client ties up: it bounds the time and size of headers and the
// time between requests. Bodies are bounded by the handlers themselves, see
// the package documentation, because how long those may take differs.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
}
