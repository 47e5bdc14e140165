// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/http"
	"strconv"
	"strings"
)

// Fault makes a registry misbehave.
type Fault func(next http.Handler) http.Handler

// Inject applies a fault to requests with a method and a path that contain the given
// words: to the next times requests, or to all if times is 0. Faults injected
// earlier take precedence.
func (r *Registry) Inject(method, path string, times int, with Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{method: method, path: path, times: times, with: with})
}

// Heal removes all faults.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

type fault struct {
	method, path string
	times        int // remaining requests; 0 means no limit
	with         Fault
}

func (r *Registry) faultyLocked(request *http.Request, next http.Handler) http.Handler {
	for i, f := range r.faults {
		if f == nil || !strings.Contains(request.Method, f.method) || !strings.Contains(request.URL.Path, f.path) {
			continue
		}
		switch f.times {
		case 0:
		case 1:
			r.faults[i] = nil
		default:
			f.times--
		}
		return f.with(next)
	}
	return next
}

// Refuse answers with a status and headers, which are pairs of name and value.
func Refuse(status int, headers ...string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			refuse(w, status, "REFUSED", "refused by a fault")
		})
	}
}

// Cut closes the connection after some bytes of the response body.
func Cut(after int64) Fault {
	return afterBytes(after, func(*http.Request) {})
}

// Stall sends some bytes of the response body, and then nothing until the client
// disconnects.
func Stall(after int64) Fault {
	return afterBytes(after, func(request *http.Request) { <-request.Context().Done() })
}

func afterBytes(after int64, then func(*http.Request)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			next.ServeHTTP(&brokenWriter{ResponseWriter: w, left: after, then: func() {
				then(request)
				panic(http.ErrAbortHandler)
			}}, request)
		})
	}
}

// brokenWriter writes some bytes, and then calls a function that does not return.
type brokenWriter struct {
	http.ResponseWriter
	left int64
	then func()
}

func (b *brokenWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < b.left {
		b.left -= int64(len(p))
		return b.ResponseWriter.Write(p)
	}
	_, _ = b.ResponseWriter.Write(p[:b.left])
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	b.then()
	return 0, http.ErrAbortHandler
}

// Lie answers with the wrong content.
func Lie(data []byte) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data)
		})
	}
}

// IgnoreRange answers range requests with the whole content.
func IgnoreRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request.Header.Del("Range")
		next.ServeHTTP(w, request)
	})
}

// FirstAcceptOnly uses only the first Accept header of manifest requests and does
// not split it at commas, like some registries.
func FirstAcceptOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.Contains(request.Header.Get("Accept"), ",") {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no manifest of that type")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// Hold delays the answer until release is closed or the client disconnects.
func Hold(release <-chan struct{}) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			select {
			case <-release:
				next.ServeHTTP(w, request)
			case <-request.Context().Done():
			}
		})
	}
}

// Redirect sends the client to the same path of another host.
func Redirect(to string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			http.Redirect(w, request, to+request.URL.Path+"?signature=secret", http.StatusTemporaryRedirect)
		})
	}
}
