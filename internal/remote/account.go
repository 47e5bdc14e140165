// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
)

// accountAt returns the user's account at an endpoint, or an empty one if the
// account belongs to another registry. Mirrors never get the account.
func (s *session) accountAt(e registry.APIEndpoint) registrytypes.AuthConfig {
	account := s.request.Auth
	if account == nil || e.Mirror || !isFor(account, s.request.Reference, e) {
		return registrytypes.AuthConfig{}
	}
	return *account
}

// isFor reports whether an account belongs to the registry of a plugin, by the
// registry's name or by the name of its endpoint. An account without an address
// does, because the caller chose it for this request.
func isFor(account *registrytypes.AuthConfig, name reference.Named, endpoint registry.APIEndpoint) bool {
	at := registryName(account.ServerAddress)
	return at == "" || at == registryName(reference.Domain(name)) || at == registryName(endpoint.URL.Host)
}

// registryName returns the host of an address, with one name for all hosts of
// Docker Hub.
func registryName(address string) string {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	host, _, _ := strings.Cut(address, "/")
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// credentials returns user and password, or no user and an identity token.
func credentials(account *registrytypes.AuthConfig) (user, secret string, err error) {
	if account.IdentityToken != "" {
		return "", account.IdentityToken, nil
	}
	if account.Username != "" || account.Auth == "" {
		return account.Username, account.Password, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(account.Auth)
	if err != nil {
		return "", "", fmt.Errorf("decode auth of registry account: %w", err)
	}
	user, secret, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", fmt.Errorf("decode auth of registry account: no password")
	}
	return user, secret, nil
}
