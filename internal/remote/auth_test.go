// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func TestAuth(t *testing.T) {
	account := &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	encoded := &registrytypes.AuthConfig{Auth: base64.StdEncoding.EncodeToString([]byte("user:hunter2"))}
	token := &registrytypes.AuthConfig{IdentityToken: "identity"}
	bearer := &registrytypes.AuthConfig{RegistryToken: "repository:group/plugin:pull"}
	plugin, plain := "repository(plugin):group/plugin:pull", "repository:group/plugin:pull"
	tests := []struct {
		name    string
		auth    *fake.Auth
		account *registrytypes.AuthConfig
		refused bool
		scopes  [][]string // the token server was asked for
	}{
		{"no account, none needed", &fake.Auth{}, nil, false, [][]string{{plugin, plain}}},
		{"basic", &fake.Auth{Basic: true, User: "user", Password: "hunter2"}, account, false, nil},
		{"basic, encoded", &fake.Auth{Basic: true, User: "user", Password: "hunter2"}, encoded, false, nil},
		{"basic, no account", &fake.Auth{Basic: true, User: "user", Password: "hunter2"}, nil, true, nil},
		{"basic, wrong", &fake.Auth{Basic: true, User: "user", Password: "other"}, account, true, nil},
		{"token", &fake.Auth{User: "user", Password: "hunter2"}, account, false, [][]string{{plugin, plain}}},
		{"token, encoded", &fake.Auth{User: "user", Password: "hunter2"}, encoded, false, [][]string{{plugin, plain}}},
		{"token, no account", &fake.Auth{User: "user", Password: "hunter2"}, nil, true, nil},
		{"token, wrong", &fake.Auth{User: "user", Password: "other"}, account, true, nil},
		{"identity token", &fake.Auth{IdentityToken: "identity"}, token, false, [][]string{{plugin, plain}}},
		{"registry token", &fake.Auth{User: "user", Password: "hunter2"}, bearer, false, nil},
		{"only plugins", &fake.Auth{OnlyPlugins: true}, nil, false, [][]string{{plugin, plain}}},
		{"class refused", &fake.Auth{RefusePlugins: true}, nil, false, [][]string{{plugin, plain}, {plain}}},
		{"class refused, account", &fake.Auth{RefusePlugins: true, User: "user", Password: "hunter2"}, account, false, nil},
		{"class confuses", &fake.Auth{ForgetAll: true}, nil, false, [][]string{{plugin, plain}, {plain}}},
		{"no right at all", &fake.Auth{OnlyPlugins: true, RefusePlugins: true}, nil, true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.Auth = test.auth
			request := b.request(t)
			request.Auth = test.account
			_, err := b.pull(t.Context(), request)
			if test.refused {
				assert.Check(t, errdefs.IsUnauthorized(err), "%v", err)
				assert.Check(t, is.ErrorContains(err, "pull "+b.host+"/"+repository))
				for _, secret := range []string{"hunter2", "identity", "Bearer ", "Basic "} {
					assert.Check(t, !strings.Contains(err.Error(), secret), "%v", err)
				}
				return
			}
			assert.NilError(t, err)
			if test.scopes != nil {
				assert.DeepEqual(t, test.auth.Scopes(), test.scopes)
			}
		})
	}
}

func TestAuthMalformed(t *testing.T) {
	for _, auth := range []string{"%%%", base64.StdEncoding.EncodeToString([]byte("no colon"))} {
		b := newBench(t)
		b.Auth = &fake.Auth{Basic: true, User: "user"}
		request := b.request(t)
		request.Auth = &registrytypes.AuthConfig{Auth: auth}
		_, err := b.pull(t.Context(), request)
		assert.Check(t, is.ErrorContains(err, "decode auth"))
	}
}

// An account is for one registry, whatever else is asked on its behalf.
func TestAccountIsForItsRegistry(t *testing.T) {
	tests := []struct {
		name   string
		server func(host string) string
		sent   bool
	}{
		{"not said", func(string) string { return "" }, true},
		{"same host", func(host string) string { return host }, true},
		{"same host as address", func(host string) string { return "https://" + host + "/v2/" }, true},
		{"other host", func(string) string { return "other.example" }, false},
		{"docker's", func(string) string { return "https://index.docker.io/v1/" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.Auth = &fake.Auth{Basic: true, User: "user", Password: "hunter2"}
			request := b.request(t)
			request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2", ServerAddress: test.server(b.host)}
			_, err := b.pull(t.Context(), request)
			assert.Equal(t, err == nil, test.sent, "%v", err)
			if !test.sent {
				for _, r := range b.Requests() {
					assert.Equal(t, r.Header.Get("Authorization"), "")
				}
			}
		})
	}
	hub := endpointAt(t, "https://registry-1.docker.io")
	for _, address := range []string{"docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"} {
		assert.Check(t, isFor(&registrytypes.AuthConfig{ServerAddress: address}, named(t, "user/plugin"), hub), address)
	}
	behind := endpointAt(t, "https://behind.example:5000/path")
	assert.Check(t, isFor(&registrytypes.AuthConfig{ServerAddress: "behind.example:5000"}, named(t, "front.example/plugin"), behind))
	assert.Check(t, !isFor(&registrytypes.AuthConfig{ServerAddress: "behind.example"}, named(t, "front.example/plugin"), behind))
}

// The account reaches neither a mirror nor a host that the registry redirects to.
func TestCredentialsGoNowhereElse(t *testing.T) {
	b := newBench(t)
	mirror, elsewhere := fake.New(), fake.New()
	mirrorHost, elsewhereHost := mirror.Start(t), elsewhere.Start(t)
	mirror.Auth = &fake.Auth{Basic: true, User: "user", Password: "hunter2"}
	elsewhere.PutPlugin(repository, "latest", []byte(config), b.packed...)
	b.Auth = &fake.Auth{Basic: true, User: "user", Password: "hunter2"}
	b.Inject(http.MethodGet, "/blobs/", 0, fake.Redirect("http://"+elsewhereHost))
	asMirror := endpointAt(t, "http://"+mirrorHost)
	asMirror.Mirror = true
	b.options.Endpoints = endpoints{asMirror, endpointAt(t, "http://"+b.host)}
	request := b.request(t)
	request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	request.Headers = http.Header{"X-Meta-Secret": {"s"}, "User-Agent": {"docker/28"}}
	contents, err := b.pull(t.Context(), request)
	assert.NilError(t, err)
	assert.DeepEqual(t, contents, b.layers)
	asked := mirror.Requests()
	assert.Check(t, len(asked) > 0, "the mirror was not asked")
	for _, r := range asked {
		assert.Equal(t, r.Header.Get("Authorization"), "")
		assert.Equal(t, r.Header.Get("X-Meta-Secret"), "")
		assert.Equal(t, r.Header.Get("User-Agent"), "docker/28")
	}
	asked = elsewhere.Requests()
	assert.Check(t, len(asked) > 0, "no request was redirected")
	for _, r := range asked {
		assert.Equal(t, r.Header.Get("Authorization"), "")
		assert.Equal(t, r.Header.Get("X-Meta-Secret"), "")
	}
}

// TestErrorsShowNoSignatures redirects to an address with a signature, which works
// like a password.
func TestErrorsShowNoSignatures(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 0, fake.Redirect("http://127.0.0.1:1"))
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
	assert.Check(t, !strings.Contains(err.Error(), "secret"), "%v", err)
}

func TestRequestIsNotChanged(t *testing.T) {
	b := newBench(t)
	b.Auth = &fake.Auth{User: "user", Password: "hunter2"}
	request := b.request(t)
	request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	request.Headers = http.Header{"X-Meta-Team": {"a", "b"}, "user-agent": {"docker/28"}}
	headers, account := request.Headers.Clone(), *request.Auth
	_, err := b.pull(t.Context(), request)
	assert.NilError(t, err)
	assert.DeepEqual(t, request.Headers, headers)
	assert.DeepEqual(t, *request.Auth, account)
	for _, r := range b.asked("/v2/") {
		assert.Equal(t, r.Header.Get("User-Agent"), "docker/28")
		assert.DeepEqual(t, r.Header.Values("X-Meta-Team"), []string{"a", "b"})
	}
	assert.Check(t, slices.Equal(slices.Sorted(maps.Keys(request.Headers)), slices.Sorted(maps.Keys(headers))))
}
