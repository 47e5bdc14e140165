package engineapi

import (
	"context"
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
// Its Shutdown ends the logs that clients follow, which have no end of their
// own.
func NewServer(handler http.Handler) *http.Server {
	shutdown, begin := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           paced(knowing(shutdown, handler)),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      patience, // for what the server answers by itself
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
	server.RegisterOnShutdown(begin)
	return server
}

// shutdownKey is of the context, in that of a request, that ends when the
// server begins to shut down.
type shutdownKey struct{}

func knowing(shutdown context.Context, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shutdownKey{}, shutdown)))
	})
}

// untilShutdown returns the context of a request, which ends also when its
// server shuts down, if that is known.
func untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	shutdown, known := ctx.Value(shutdownKey{}).(context.Context)
	if !known {
		return ctx, cancel
	}
	forget := context.AfterFunc(shutdown, cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}
