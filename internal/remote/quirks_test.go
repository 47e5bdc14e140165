// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"net/http"
	"testing"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// TestMethodsOfTokenServers pulls with each kind of account from token servers that
// know one method.
func TestMethodsOfTokenServers(t *testing.T) {
	password := &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	identity := &registrytypes.AuthConfig{IdentityToken: "identity"}
	for _, test := range []struct {
		name    string
		account *registrytypes.AuthConfig
		auth    *fake.Auth
	}{
		{"password, GET 400", password, &fake.Auth{RefuseGet: http.StatusBadRequest}},
		{"password, GET 404", password, &fake.Auth{RefuseGet: http.StatusNotFound}},
		{"password, GET 405", password, &fake.Auth{RefuseGet: http.StatusMethodNotAllowed}},
		{"password, POST 404", password, &fake.Auth{RefusePost: http.StatusNotFound}},
		{"identity, POST 400", identity, &fake.Auth{RefusePost: http.StatusBadRequest}},
		{"identity, POST 401", identity, &fake.Auth{RefusePost: http.StatusUnauthorized}},
		{"identity, POST 404", identity, &fake.Auth{RefusePost: http.StatusNotFound}},
		{"identity, POST 405", identity, &fake.Auth{RefusePost: http.StatusMethodNotAllowed}},
		{"identity, GET 404", identity, &fake.Auth{RefuseGet: http.StatusNotFound}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.Auth = test.auth
			b.Auth.User, b.Auth.Password, b.Auth.IdentityToken = "user", "hunter2", "identity"
			request := b.request(t)
			request.Auth = test.account
			contents, err := b.pull(t.Context(), request)
			assert.NilError(t, err)
			assert.DeepEqual(t, contents, b.layers)
			assert.Equal(t, b.Auth.Rejected(), 0)
		})
	}
}

// TestPasswordStaysWithItsTokenServer: a token server that does not know GET redirects
// the POST elsewhere.
func TestPasswordStaysWithItsTokenServer(t *testing.T) {
	b := newBench(t)
	elsewhere := fake.New()
	elsewhereHost := elsewhere.Start(t)
	b.Auth = &fake.Auth{User: "user", Password: "hunter2", RefuseGet: http.StatusNotFound}
	b.Inject(http.MethodPost, "/token", 0, fake.RedirectAs(http.StatusTemporaryRedirect, "http://"+elsewhereHost))
	request := b.request(t)
	request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
	_, err := b.pull(t.Context(), request)
	_, refused := find[*RedirectError](err)
	assert.Check(t, refused, "%v", err)
	assert.Equal(t, len(elsewhere.Requests()), 0)
}

// TestPushByAccountWithoutPull pushes with an account whose right ends at the look
// whether the content exists.
func TestPushByAccountWithoutPull(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		b := newBench(t)
		b.mustPull(t)
		b.Remove(repository)
		b.Auth = &fake.Auth{User: "user", Password: "hunter2", PushOnly: true}
		if status == http.StatusForbidden {
			b.Auth.PushOnly = false
			b.Inject(http.MethodHead, "/v2/", 0, fake.Refuse(status))
		}
		request := b.request(t)
		request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
		pushed, err := b.push(t.Context(), request)
		assert.NilError(t, err, "%d", status)
		assert.Equal(t, pushed.Digest, b.target.Digest)
		_, data := b.Manifest(repository, "latest")
		assert.Check(t, data != nil)
	}
}

// TestLengthOfHead resolves where HEAD has the length of its empty body.
func TestLengthOfHead(t *testing.T) {
	b := newBench(t)
	b.Inject(http.MethodHead, "/manifests/", 0, fake.EmptyHead)
	p, err := New(b.options).Resolve(t.Context(), b.request(t))
	assert.NilError(t, err)
	defer p.Close()
	assert.DeepEqual(t, p.Manifest, b.target)
}

// TestRequestTimeout answers each kind of request with 408 once.
func TestRequestTimeout(t *testing.T) {
	b := newBench(t)
	b.Auth = &fake.Auth{}
	for _, path := range []string{"/manifests/", "/blobs/", "/token"} {
		b.Inject("", path, 1, fake.Refuse(http.StatusRequestTimeout))
	}
	contents, err := b.pull(t.Context(), b.request(t))
	assert.NilError(t, err)
	assert.DeepEqual(t, contents, b.layers)
	b.Remove(repository)
	for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut} {
		b.Inject(method, "/v2/", 1, fake.Refuse(http.StatusRequestTimeout))
	}
	_, err = b.push(t.Context(), b.request(t))
	assert.NilError(t, err)
}

// TestWholeBlobAsPart pulls from a registry that answers with 206 although no part was
// requested, also after a cut and after a refused part.
func TestWholeBlobAsPart(t *testing.T) {
	for name, faults := range map[string][]fake.Fault{
		"whole":          nil,
		"after a cut":    {fake.Cut(100_000)},
		"refused ranges": {fake.Cut(100_000), fake.RefuseRanges},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for _, fault := range faults {
				b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, fault)
			}
			b.Inject(http.MethodGet, "/blobs/", 0, fake.AlwaysPartial)
			contents, err := b.pull(t.Context(), b.request(t))
			assert.NilError(t, err)
			assert.DeepEqual(t, contents, b.layers)
		})
	}
}
