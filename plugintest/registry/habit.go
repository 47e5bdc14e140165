// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// Faults for the quirks of registries that tests of clients often miss. Other quirks
// are options of [Registry] and [Auth].

// NoHead refuses HEAD requests.
func NoHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodHead {
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "method is not known")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// SetHeader sets a header of the answer; an empty value removes it. Examples are a
// missing Docker-Content-Digest, the type application/json for a manifest, and a
// wrong Content-Encoding.
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

// RefuseRanges answers range requests with status 416.
func RefuseRanges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Range") != "" {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID", "ranges are not supported")
			return
		}
		next.ServeHTTP(w, request)
	})
}

// EmptyHead answers HEAD requests with the length of their empty body.
func EmptyHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodHead {
			w = &headerWriter{w, "Content-Length", "0"}
		}
		next.ServeHTTP(w, request)
	})
}

// AlwaysPartial answers requests for the whole content with status 206, as a part
// from 0 on.
func AlwaysPartial(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodGet && request.Header.Get("Range") == "" {
			request.Header.Set("Range", "bytes=0-")
		}
		next.ServeHTTP(w, request)
	})
}

// Shorten truncates the requested content.
func Shorten(to int) Fault {
	return rewrite(func(body []byte) []byte { return body[:min(to, len(body))] })
}

// Lengthen appends bytes to the requested content.
func Lengthen(more []byte) Fault {
	return rewrite(func(body []byte) []byte { return append(body, more...) })
}

// rewrite changes the served content. Range requests apply to the changed content.
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

// RefuseMounts answers requests to mount a blob from another repository with a
// status.
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

// LoseUpload answers that an upload is unknown, like a registry after a restart.
func LoseUpload(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		refuseUnknown(w)
	})
}

// KeepLess keeps only the first bytes of a chunk, as the Range of the answer says:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
func KeepLess(bytes int64) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			rest := request.Body
			request.Body = io.NopCloser(io.LimitReader(rest, bytes))
			request.Header.Del("Content-Range")
			next.ServeHTTP(w, request)
			_, _ = io.Copy(io.Discard, rest)
		})
	}
}

// HoldUpload reads the whole upload and answers once release is closed, like a
// registry that verifies and moves the content.
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

// AnswerEarly answers with a status before it reads the body of the request, and then
// neither reads nor sends anything until release is closed or the client disconnects.
// Over HTTP/1.1 the registry does not notice that the client disconnects.
func AnswerEarly(status int, release <-chan struct{}) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-request.Context().Done():
			}
		})
	}
}

// RedirectAs redirects the client to the same path of another host with the given
// status: 301, 302, 303, 307 or 308.
func RedirectAs(status int, to string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			w.Header().Set("Location", fmt.Sprintf("%s%s?%s", to, request.URL.Path, request.URL.RawQuery))
			w.WriteHeader(status)
		})
	}
}
