// SPDX-License-Identifier: Apache-2.0

package drive

import (
	"net"
	"net/http"

	"github.com/distribution/reference"

	"github.com/dovetailhq/plugin/plugintest/registry"
)

// repository is the repository of the versions, each with its own tag.
const repository = "crash/plugin"

// Registry is a registry in the process of the manager that pulls from it. A
// kill ends both in the middle of a transfer.
type Registry struct {
	host   string
	server *http.Server
	served chan struct{} // closed when the server has ended
}

// Serve starts a registry of all versions, over plain http. The caller closes
// it.
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
		_ = r.server.Serve(listener) // always an error: that of Close
	}()
	return r, nil
}

// Reference returns the reference of a version.
func (r *Registry) Reference(version string) (reference.Named, error) {
	return reference.ParseNormalizedNamed(r.host + "/" + repository + ":" + version)
}

// Close ends the registry and all transfers.
func (r *Registry) Close() error {
	err := r.server.Close()
	<-r.served
	return err
}
