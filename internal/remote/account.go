package remote

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
)

// accountAt returns the user's account at an endpoint, which is empty when it
// is one elsewhere. Mirrors are never told.
func (s *session) accountAt(e registry.APIEndpoint) registrytypes.AuthConfig {
	account := s.request.Auth
	if account == nil || e.Mirror || !isFor(account, s.request.Reference, e) {
		return registrytypes.AuthConfig{}
	}
	return *account
}

// isFor reports whether an account is one at the registry of a plugin, by its
// own name or by that of the endpoint it is found at. An account without an
// address is taken to be: the caller chose it for this request.
func isFor(account *registrytypes.AuthConfig, name reference.Named, endpoint registry.APIEndpoint) bool {
	at := registryName(account.ServerAddress)
	return at == "" || at == registryName(reference.Domain(name)) || at == registryName(endpoint.URL.Host)
}

// registryName is the host of an address, and one name for all that Docker Hub
// goes by.
func registryName(address string) string {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	host, _, _ := strings.Cut(address, "/")
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// credentials are user and password, or no user and a token that stands for
// both.
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
