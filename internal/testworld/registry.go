// SPDX-License-Identifier: Apache-2.0

package testworld

import (
	"net/url"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
)

// PlainHTTP is a [plugin.EndpointResolver] that resolves every host to plain http.
type PlainHTTP struct{}

// LookupPullEndpoints returns the host itself.
func (PlainHTTP) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}

// Named parses the reference of a plugin in a registry.
func Named(t testing.TB, text string) reference.Named {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(text)
	assert.NilError(t, err)
	return ref
}
