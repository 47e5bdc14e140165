package drive

import (
	"net"
	"net/http"

	"github.com/distribution/reference"

	"github.com/dovetailhq/plugin/plugintest/registry"
)

// repository is where a registry has the versions, each under its own tag.
const repository = "crash/plugin"

// Registry is a registry in the process of the manager that pulls from it,
// with which it dies in the middle of a transfer.
type Registry struct {
	host   string
	server *http.Server
	served chan struct{} // closed when nothing is served any more
}

// Serve starts a registry of all versions, on plain http. The caller closes it.
func (v Versions) Serve() (*Registry, error) {
	versions := registry.New()
	if err := v.put(versions); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{
		host:   listener.Addr().String(),
		server: &http.Server{Handler: versions},
		served: make(chan struct{}),
	}
	go func() {
		defer close(r.served)
		_ = r.server.Serve(listener) // it always ends with an error: that of Close
	}()
	return r, nil
}

// Reference names a version for a manager to pull.
func (r *Registry) Reference(version string) (reference.Named, error) {
	return reference.ParseNormalizedNamed(r.host + "/" + repository + ":" + version)
}

// Close ends the registry and every transfer.
func (r *Registry) Close() error {
	err := r.server.Close()
	<-r.served
	return err
}
