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
)

// NewServer returns a server of handler, to be given a listener, that no slow
// or excessive client ties up. It bounds the time and size of headers, the
// time between requests, and how long an answer may wait for its reader.
// Bodies of requests are bounded by [NewMux], see the package documentation.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           paced(handler),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      patience, // for what the server answers by itself
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
}
