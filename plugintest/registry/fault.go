package registry

import (
	"net/http"
	"strconv"
	"strings"
)

// Fault is a way to misbehave.
type Fault func(next http.Handler) http.Handler

// Inject makes requests whose method and path contain the given words be
// answered with a fault: the next times of them, or all if times is 0. Faults
// that were injected earlier are asked first.
func (r *Registry) Inject(method, path string, times int, with Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{method: method, path: path, times: times, with: with})
}

// Heal takes all faults back.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

type fault struct {
	method, path string
	times        int // left; 0 means for ever
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

// Refuse answers with a status, and with headers as pairs of name and value.
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

// Cut breaks the connection after some bytes of the answer's body.
func Cut(after int64) Fault {
	return afterBytes(after, func(*http.Request) {})
}

// Stall sends some bytes of the answer's body, and then nothing until the
// client leaves.
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

// brokenWriter writes some bytes, and then does something that does not
// return.
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

// Lie answers with other bytes than those that were asked for.
func Lie(data []byte) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data)
		})
	}
}

// IgnoreRange answers requests for a part with the whole.
func IgnoreRange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request.Header.Del("Range")
		next.ServeHTTP(w, request)
	})
}

// FirstAcceptOnly knows manifests only by the first Accept header, and does not
// split it, as some registries do.
func FirstAcceptOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.Contains(request.Header.Get("Accept"), ",") {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no manifest of that type")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// Hold answers once release is closed, or the client has left.
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
