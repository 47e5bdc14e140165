package engineapi

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/containerd/log"
	"github.com/docker/docker/api"
	"github.com/docker/docker/api/server/httpstatus"
	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/versions"
)

// writeError answers err with the status of its class. Clients older than
// every supported version show the body as it is, so they get plain text.
func writeError(w http.ResponseWriter, r *http.Request, version string, err error) {
	status := httpstatus.FromError(err)
	if status >= http.StatusInternalServerError {
		log.G(r.Context()).WithError(err).WithFields(log.Fields{"method": r.Method, "path": r.URL.Path}).Error("request was not served")
	}
	if version != "" && versions.LessThan(version, api.MinSupportedAPIVersion) {
		http.Error(w, err.Error(), status)
		return
	}
	_ = httputils.WriteJSON(w, status, types.ErrorResponse{Message: err.Error()})
}

// recovering answers 500 for a handler that panicked and logs where, so that
// one bad request neither ends the daemon nor goes unseen. An answer that had
// begun is cut off, which no client takes for a whole one.
func recovering(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w}
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(reason)
			}
			log.G(r.Context()).WithFields(log.Fields{
				"method": r.Method, "path": r.URL.Path, "panic": fmt.Sprint(reason), "stack": string(debug.Stack()),
			}).Error("handler panicked")
			if watched.begun {
				panic(http.ErrAbortHandler)
			}
			_ = httputils.WriteJSON(w, http.StatusInternalServerError, types.ErrorResponse{Message: "internal error: see the daemon's log"})
		}()
		handler.ServeHTTP(watched, r)
	})
}

// watchedWriter knows whether the answer has begun.
type watchedWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *watchedWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Flush is for handlers that ask for an http.Flusher by type.
func (w *watchedWriter) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is how http.ResponseController reaches the rest.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
