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
	p := &plugins{backend: backend}
	all := routes{
		router.NewGetRoute("/plugins", bounded(p.list)),
		router.NewGetRoute("/plugins/privileges", bounded(p.privileges)),
		router.NewGetRoute("/plugins/{name:.*}/json", bounded(p.inspect)),
		router.NewPostRoute("/plugins/create", moving(p.create)),
		router.NewPostRoute("/plugins/pull", bounded(p.pull)),
		router.NewPostRoute("/plugins/{name:.*}/enable", bounded(p.enable)),
		router.NewPostRoute("/plugins/{name:.*}/disable", bounded(p.disable)),
		router.NewPostRoute("/plugins/{name:.*}/set", bounded(p.set)),
		router.NewPostRoute("/plugins/{name:.*}/upgrade", bounded(p.upgrade)),
		router.NewPostRoute("/plugins/{name:.*}/push", bounded(p.push)),
		router.NewDeleteRoute("/plugins/{name:.*}", bounded(p.remove)),
	}
	if observer, ok := backend.(Observer); ok {
		o := observed{observer}
		all = append(all,
			router.NewGetRoute("/plugins/{name:.*}/status", bounded(o.status)),
			router.NewGetRoute("/plugins/{name:.*}/logs", bounded(o.logs)))
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
