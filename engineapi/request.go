// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"net/http"
	"strings"

	"github.com/docker/docker/api/types/registry"
)

// metaHeaders returns the headers of r that are meant for the registry:
// X-Meta-* and no others. All other headers, credentials and cookies among
// them, are for this daemon only.
func metaHeaders(r *http.Request) http.Header {
	meta := http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Meta-") {
			meta[name] = values
		}
	}
	return meta
}

// registryAuth returns the credentials of r for the registry. As in docker,
// credentials that are missing or cannot be decoded are empty; the registry
// then refuses them if it needs any.
func registryAuth(r *http.Request) *registry.AuthConfig {
	auth, err := registry.DecodeAuthConfig(r.Header.Get(registry.AuthHeader))
	if err != nil {
		return &registry.AuthConfig{}
	}
	return auth
}
