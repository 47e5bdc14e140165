// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"net/http"

	"github.com/docker/docker/api/server/router"
)

// NewHandler returns a handler of the plugin endpoints of backend only.
func NewHandler(backend Backend) http.Handler {
	return NewMux("", NewRouter(backend))
}

// NewRouter returns the plugin endpoints of backend as a router of docker's
// form. Join it with other routers by [NewMux] or docker's API server.
func NewRouter(backend Backend) router.Router {
	p, bodies := &plugins{backend: backend}, newBudget()
	all := routes{
		router.NewGetRoute("/plugins", bodies.buffered(p.list)),
		router.NewGetRoute("/plugins/privileges", bodies.buffered(p.privileges)),
		router.NewGetRoute("/plugins/{name:.*}/json", bodies.buffered(p.inspect)),
		streaming{router.NewPostRoute("/plugins/create", streamed(p.create))},
		router.NewPostRoute("/plugins/pull", bodies.buffered(p.pull)),
		router.NewPostRoute("/plugins/{name:.*}/enable", bodies.buffered(p.enable)),
		router.NewPostRoute("/plugins/{name:.*}/disable", bodies.buffered(p.disable)),
		router.NewPostRoute("/plugins/{name:.*}/set", bodies.buffered(p.set)),
		router.NewPostRoute("/plugins/{name:.*}/upgrade", bodies.buffered(p.upgrade)),
		router.NewPostRoute("/plugins/{name:.*}/push", bodies.buffered(p.push)),
		router.NewDeleteRoute("/plugins/{name:.*}", bodies.buffered(p.remove)),
	}
	if observer, ok := backend.(Observer); ok {
		o := observed{observer}
		all = append(all,
			router.NewGetRoute("/plugins/{name:.*}/status", bodies.buffered(o.status)),
			router.NewGetRoute("/plugins/{name:.*}/logs", bodies.buffered(o.logs)))
	}
	return all
}

// routes is a router with a fixed list of routes.
type routes []router.Route

func (r routes) Routes() []router.Route { return r }

// plugins has the handlers of the endpoints.
type plugins struct {
	backend Backend
}
