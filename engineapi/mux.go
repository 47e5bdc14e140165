// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/docker/docker/api"
	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/middleware"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types"
)

// NewMux serves the routes of routers, each below /vX.Y and without a version.
// It answers as docker's API server does: answers carry the Server, Api-Version
// and Ostype headers; an API version that is not supported gets 400, an unknown
// path 404, and an unknown method 405 with Allow. If two routes match, the
// first one is served.
//
// The body of a request ends at 1 MiB, unless its route is [Streaming]. Slow
// clients are given up, see the package documentation.
//
// version is the daemon's version, for the Server header; it can be empty. A
// handler that panics is logged and answered with 500.
func NewMux(version string, routers ...router.Router) http.Handler {
	checked, err := middleware.NewVersionMiddleware(version, api.DefaultVersion, api.MinSupportedAPIVersion)
	if err != nil {
		// Both are constants of one docker release, and its own daemon passes
		// them.
		panic("engineapi: " + err.Error())
	}
	m, bodies := &mux{}, newBudget()
	for _, from := range routers {
		for _, route := range from.Routes() {
			m.routes = append(m.routes, compile(route, checked.WrapHandler, bodies))
		}
	}
	return paced(recovering(m))
}

type mux struct {
	routes []compiledRoute
}

func (m *mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, route := range m.routes {
		vars, ok := route.match(r.URL.Path)
		if !ok {
			continue
		}
		if route.method != r.Method {
			allowed = append(allowed, route.method)
			continue
		}
		if err := route.handler(r.Context(), w, r, vars); err != nil {
			answerError(w, r, vars["version"], err)
		}
		return
	}
	refuse(w, r, allowed)
}

// refuse answers a request that no route serves. allowed are the methods that
// the routes of its path have.
func refuse(w http.ResponseWriter, r *http.Request, allowed []string) {
	if len(allowed) == 0 {
		_ = httputils.WriteJSON(w, http.StatusNotFound, types.ErrorResponse{Message: "page not found"})
		return
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
	_ = httputils.WriteJSON(w, http.StatusMethodNotAllowed, types.ErrorResponse{
		Message: "method " + r.Method + " not allowed",
	})
}

type apiFunc = func(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error
