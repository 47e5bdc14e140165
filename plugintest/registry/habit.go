package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// Faults for the habits of registries that tests of clients forget. Other
// habits are options of [Registry] and [Auth].

// NoHead is a registry that does not know HEAD.
func NoHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodHead {
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "method is not known")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// SetHeader changes a header of the answer; an empty value takes it away. So it
// makes registries that do not say Docker-Content-Digest, call a manifest
// application/json, or set a Content-Encoding on bytes that have none.
func SetHeader(name, value string) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			next.ServeHTTP(&headerWriter{w, name, value}, request)
		})
	}
}

type headerWriter struct {
	http.ResponseWriter
	name, value string
}

func (h *headerWriter) WriteHeader(status int) {
	h.Header().Del(h.name)
	if h.value != "" {
		h.Header().Set(h.name, h.value)
	}
	h.ResponseWriter.WriteHeader(status)
}

// RefuseRanges answers 416 to requests for a part.
func RefuseRanges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Range") != "" {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "ranges are not supported")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// Shorten is a registry that has only the first bytes of what is asked for.
func Shorten(to int) Fault {
	return rewrite(func(body []byte) []byte { return body[:min(to, len(body))] })
}

// Lengthen is a registry that has some bytes after what is asked for.
func Lengthen(more []byte) Fault {
	return rewrite(func(body []byte) []byte { return append(body, more...) })
}

// rewrite changes the content that is served, in whole or in part.
func rewrite(change func(body []byte) []byte) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			whole := request.Clone(request.Context())
			whole.Header.Del("Range")
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, whole)
			for name, values := range recorder.Header() {
				if name != "Content-Length" {
					w.Header()[name] = values
				}
			}
			body := recorder.Body.Bytes()
			if recorder.Code != http.StatusOK {
				w.WriteHeader(recorder.Code)
				_, _ = w.Write(body)
				return
			}
			http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(change(bytes.Clone(body))))
		})
	}
}

// RefuseMounts answers with a status where a blob of another repository is
// asked for.
func RefuseMounts(status int) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.URL.Query().Get("mount") != "" {
				refuse(w, status, "UNSUPPORTED", "mounts are refused by a fault")
				return
			}
			next.ServeHTTP(w, request)
		})
	}
}

// LoseUpload answers that an upload is not known, as after a restart.
func LoseUpload(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		refuseUnknown(w)
	})
}

// HoldUpload takes all of an upload, and then answers once release is closed,
// as a registry that verifies and moves what it was sent.
func HoldUpload(release <-chan struct{}) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			data, err := io.ReadAll(request.Body)
			if err != nil {
				return
			}
			request.Body = io.NopCloser(bytes.NewReader(data))
			Hold(release)(next).ServeHTTP(w, request)
		})
	}
}

// RedirectAs sends the client to the same path of another host with a status of
// its own: 301, 302, 303, 307 or 308.
func RedirectAs(status int, to string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			w.Header().Set("Location", fmt.Sprintf("%s%s?%s", to, request.URL.Path, request.URL.RawQuery))
			w.WriteHeader(status)
		})
	}
}
