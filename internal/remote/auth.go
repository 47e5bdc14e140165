package remote

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	registrytypes "github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/registry"
)

// authorizer proves to one endpoint who the user is. Mirrors are never told.
func (s *session) authorizer(endpoint registry.APIEndpoint, client *http.Client) docker.Authorizer {
	account := s.request.Auth
	if account == nil || endpoint.Mirror || !isFor(account, s.request.Reference, endpoint) {
		account = &registrytypes.AuthConfig{}
	}
	if account.RegistryToken != "" {
		return &fixedToken{host: endpoint.URL.Host, token: account.RegistryToken}
	}
	return &scopedAuthorizer{
		scope: s.pluginScope(),
		turn:  make(chan struct{}, 1),
		Authorizer: docker.NewDockerAuthorizer(
			docker.WithAuthClient(client),
			docker.WithAuthHeader(http.Header{"User-Agent": {s.client.options.UserAgent}}),
			docker.WithAuthCreds(func(host string) (string, string, error) {
				if host != endpoint.URL.Host {
					return "", "", nil
				}
				return credentials(account)
			}),
		),
	}
}

// isFor reports whether an account is one at the registry of a plugin, by its
// own name or by that of the endpoint it is found at. An account that does not
// say where it is is taken to be: the caller chose it for this request.
func isFor(account *registrytypes.AuthConfig, name reference.Named, endpoint registry.APIEndpoint) bool {
	at := registryName(account.ServerAddress)
	return at == "" || at == registryName(reference.Domain(name)) || at == registryName(endpoint.URL.Host)
}

// registryName is the host of an address, and one name for all that Docker Hub
// goes by.
func registryName(address string) string {
	host := registry.ConvertToHostname(address)
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

// scopedAuthorizer asks token servers for the right to a plugin beside that to
// a repository, which is all that most know. One that refuses the former, or
// forgets the latter over it, is asked for the repository alone.
type scopedAuthorizer struct {
	docker.Authorizer
	scope string
	// turn is held by who uses the authorizer: containerd's has a data race
	// between those that fetch a token and those that wait for it.
	turn    chan struct{}
	refused bool
}

// Authorize adds what it knows to a request. One that it fails is not sent, and
// nobody but Authorize closes its body then: who writes to the other end of it
// would wait for ever.
func (a *scopedAuthorizer) Authorize(ctx context.Context, request *http.Request) error {
	err := a.authorize(ctx, request)
	if err != nil && request.Body != nil {
		_ = request.Body.Close()
	}
	return err
}

func (a *scopedAuthorizer) authorize(ctx context.Context, request *http.Request) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer a.leave()
	if !a.refused {
		if err := a.Authorizer.Authorize(docker.WithScope(ctx, a.scope), request); err == nil || ctx.Err() != nil {
			return err
		}
		a.refused = true
	}
	return a.Authorizer.Authorize(ctx, request)
}

// AddResponses is told of each 401. A second one means that the token was not
// good enough.
func (a *scopedAuthorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer a.leave()
	if len(responses) > 1 && !a.refused {
		a.refused = true
		responses = responses[len(responses)-1:]
	}
	return a.Authorizer.AddResponses(ctx, responses)
}

func (a *scopedAuthorizer) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *scopedAuthorizer) leave() { <-a.turn }

// fixedToken is a bearer token that the user got elsewhere.
type fixedToken struct {
	host  string
	token string
}

func (f *fixedToken) Authorize(_ context.Context, request *http.Request) error {
	if request.URL.Host == f.host {
		request.Header.Set("Authorization", "Bearer "+f.token)
	}
	return nil
}

func (f *fixedToken) AddResponses(context.Context, []*http.Response) error {
	return docker.ErrInvalidAuthorization
}
