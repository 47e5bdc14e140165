package engineapi

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/docker/docker/api"
	"github.com/docker/docker/api/server/httpstatus"
	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/versions"

	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// answerError answers err with the status of its class. An answer that has
// begun is cut off, which no client takes for a whole one. Clients older than
// every supported version show the body as it is, so they get plain text.
func answerError(w http.ResponseWriter, r *http.Request, version string, err error) {
	status := httpstatus.FromError(err)
	isGone := r.Context().Err() != nil && errors.Is(err, r.Context().Err()) // the client, which is no fault of ours
	if status >= http.StatusInternalServerError && !isGone {
		logging.G(r.Context()).WithError(err).WithFields(logging.Fields{"method": r.Method, "path": r.URL.Path}).Error("request was not served")
	}
	if answerOf(w).begun {
		panic(http.ErrAbortHandler)
	}
	message := plaintext.Lines(err.Error()) // which a command line shows as it is
	if version != "" && versions.LessThan(version, api.MinSupportedAPIVersion) {
		http.Error(w, message, status)
		return
	}
	_ = httputils.WriteJSON(w, status, types.ErrorResponse{Message: message})
}

// recovering answers 500 for a handler that panicked and logs where, so that
// one bad request neither ends the daemon nor goes unseen. An answer that had
// begun is cut off, which no client takes for a whole one.
func recovering(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answerOf(w)
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(reason)
			}
			logging.G(r.Context()).WithFields(logging.Fields{
				"method": r.Method, "path": r.URL.Path, "panic": fmt.Sprint(reason), "stack": string(debug.Stack()),
			}).Error("handler panicked")
			if a.begun {
				panic(http.ErrAbortHandler)
			}
			_ = httputils.WriteJSON(a, http.StatusInternalServerError, types.ErrorResponse{Message: "internal error: see the daemon's log"})
		}()
		handler.ServeHTTP(a, r)
	})
}
