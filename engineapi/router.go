package engineapi

import (
	"net/http"

	"github.com/docker/docker/api/server/router"
)

// NewHandler serves the plugin endpoints of backend and nothing else.
func NewHandler(backend Backend) http.Handler {
	return NewMux("", NewRouter(backend))
}

// NewRouter returns the plugin endpoints of backend in the form of docker's
// own routers, to be joined with others by [NewMux] or by docker's API server.
func NewRouter(backend Backend) router.Router {
	p, large := &plugins{backend: backend}, newPlaces()
	all := routes{
		router.NewGetRoute("/plugins", large.held(p.list)),
		router.NewGetRoute("/plugins/privileges", large.held(p.privileges)),
		router.NewGetRoute("/plugins/{name:.*}/json", large.held(p.inspect)),
		streaming{router.NewPostRoute("/plugins/create", moving(p.create))},
		router.NewPostRoute("/plugins/pull", large.held(p.pull)),
		router.NewPostRoute("/plugins/{name:.*}/enable", large.held(p.enable)),
		router.NewPostRoute("/plugins/{name:.*}/disable", large.held(p.disable)),
		router.NewPostRoute("/plugins/{name:.*}/set", large.held(p.set)),
		router.NewPostRoute("/plugins/{name:.*}/upgrade", large.held(p.upgrade)),
		router.NewPostRoute("/plugins/{name:.*}/push", large.held(p.push)),
		router.NewDeleteRoute("/plugins/{name:.*}", large.held(p.remove)),
	}
	if observer, ok := backend.(Observer); ok {
		o := observed{observer}
		all = append(all,
			router.NewGetRoute("/plugins/{name:.*}/status", large.held(o.status)),
			router.NewGetRoute("/plugins/{name:.*}/logs", large.held(o.logs)))
	}
	return all
}

// routes is a router of fixed routes.
type routes []router.Route

func (r routes) Routes() []router.Route { return r }

// plugins holds the endpoints' handlers.
type plugins struct {
	backend Backend
}
