package engineapi

import (
	"net/http"
	"strings"

	"github.com/docker/docker/api/types/registry"
)

// metaHeaders returns the headers of r that are meant for the registry, those
// called X-Meta-*, and no others: the rest, with its credentials and cookies,
// is between the client and this daemon.
func metaHeaders(r *http.Request) http.Header {
	meta := http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Meta-") {
			meta[name] = values
		}
	}
	return meta
}

// registryAuth returns the credentials of r for the registry. Without any, or
// with ones that cannot be read, they are empty, as docker has it: the
// registry then says whether it wants some.
func registryAuth(r *http.Request) *registry.AuthConfig {
	auth, err := registry.DecodeAuthConfig(r.Header.Get(registry.AuthHeader))
	if err != nil {
		return &registry.AuthConfig{}
	}
	return auth
}
