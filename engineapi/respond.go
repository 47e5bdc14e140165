// SPDX-License-Identifier: Apache-2.0

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
// begun is aborted, so that the client does not take it for complete. Clients
// older than every supported version print the body verbatim, so they get plain
// text.
func answerError(w http.ResponseWriter, r *http.Request, version string, err error) {
	status := httpstatus.FromError(err)
	isGone := r.Context().Err() != nil && errors.Is(err, r.Context().Err()) // a client that disconnected is not a failure of the daemon
	if status >= http.StatusInternalServerError && !isGone {
		logging.G(r.Context()).WithError(err).WithFields(logging.Fields{"method": r.Method, "path": r.URL.Path}).Error("request was not served")
	}
	if answerOf(w).begun {
		panic(http.ErrAbortHandler)
	}
	message := plaintext.Lines(err.Error()) // command lines print it verbatim
	if version != "" && versions.LessThan(version, api.MinSupportedAPIVersion) {
		http.Error(w, message, status)
		return
	}
	_ = httputils.WriteJSON(w, status, types.ErrorResponse{Message: message})
}

// recovering logs the panic of a handler with its stack and answers 500, so
// that a bad request does not end the daemon. An answer that has begun is
// aborted, so that the client does not take it for complete.
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
