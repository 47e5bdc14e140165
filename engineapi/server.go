// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// headerTimeout bounds how long a client sends the headers of a request.
	headerTimeout = 30 * time.Second
	// keepAliveTimeout bounds how long a connection waits for its next request.
	// Docker's client closes idle connections earlier.
	keepAliveTimeout = 5 * time.Minute
	// maxHeaderBytes bounds a request's headers. The largest are credentials
	// for registries, with tokens of a few KiB.
	maxHeaderBytes = 128 << 10
)

// NewServer returns a server of handler, to be given a listener, that slow and
// excessive clients cannot tie up. It bounds the time, size and number of headers, the
// time between requests, and how long an answer waits for its reader. [NewMux]
// bounds the bodies of requests, see the package documentation. Its Shutdown
// ends the logs that clients follow, because they never end by themselves.
//
// The server has at most 1024 connections. Further clients wait in the
// listener's backlog until a connection closes; the first wait is logged. The
// server's ConnState counts them: a caller with its own ConnState calls that one
// as well.
func NewServer(handler http.Handler) *http.Server {
	shutdown, begin := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           paced(withFewValues(withShutdown(shutdown, handler))),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      patience, // for answers of the server itself
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         newConnections(shutdown).count,
	}
	server.RegisterOnShutdown(begin)
	return server
}

// maxValues bounds the headers of a request, and the values in its query. Both stay in
// memory as long as the request, and a value of four bytes takes a hundred when parsed.
// Docker's clients send some ten headers, and a few filters.
const maxValues = 1 << 10

// withFewValues refuses requests with more than maxValues.
func withFewValues(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if queryValues(r.URL.RawQuery) > maxValues {
			http.Error(w, fmt.Sprintf("the query has more than %d values", maxValues), http.StatusRequestURITooLong)
			return
		}
		headers := 0
		for _, values := range r.Header {
			headers += len(values)
		}
		if headers > maxValues {
			http.Error(w, fmt.Sprintf("the request has more than %d headers", maxValues), http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// queryValues counts the separators of a query, and those of lists in JSON.
func queryValues(query string) int {
	count := 0
	for _, separator := range []string{"&", ",", "%2C", "%2c"} {
		count += strings.Count(query, separator)
	}
	return count
}

// shutdownKey is the key, in the context of a request, of the context that ends
// when the server begins to shut down.
type shutdownKey struct{}

func withShutdown(shutdown context.Context, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shutdownKey{}, shutdown)))
	})
}

// untilShutdown returns a context that ends with ctx, and also when the
// request's server begins to shut down.
func untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	shutdown, known := ctx.Value(shutdownKey{}).(context.Context)
	if !known {
		return ctx, cancel
	}
	stop := context.AfterFunc(shutdown, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
