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
		router.NewGetRoute("/plugins", p.list),
		router.NewGetRoute("/plugins/privileges", p.privileges),
		router.NewGetRoute("/plugins/{name:.*}/json", p.inspect),
		router.NewPostRoute("/plugins/create", p.create),
		router.NewPostRoute("/plugins/pull", p.pull),
		router.NewPostRoute("/plugins/{name:.*}/enable", p.enable),
		router.NewPostRoute("/plugins/{name:.*}/disable", p.disable),
		router.NewPostRoute("/plugins/{name:.*}/set", p.set),
		router.NewPostRoute("/plugins/{name:.*}/upgrade", p.upgrade),
		router.NewPostRoute("/plugins/{name:.*}/push", p.push),
		router.NewDeleteRoute("/plugins/{name:.*}", p.remove),
	}
	if observer, ok := backend.(Observer); ok {
		o := observed{observer}
		all = append(all,
			router.NewGetRoute("/plugins/{name:.*}/status", o.status),
			router.NewGetRoute("/plugins/{name:.*}/logs", o.logs))
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
