// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// refusesAccounts refuses and counts requests with an account, and demands one of
// requests without.
func refusesAccounts(tried *atomic.Int32, status int, body string) fake.Fault {
	return answer(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok && r.FormValue("refresh_token")+r.FormValue("password") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		tried.Add(1)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// TestWrongAccountAfterOverload refuses an account that it has answered before, while it
// was overloaded: such an answer does not prove the account.
func TestWrongAccountAfterOverload(t *testing.T) {
	for _, status := range []int{http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		for _, verb := range []string{"pull", "push"} {
			t.Run(fmt.Sprint(status, verb), func(t *testing.T) {
				b := newBench(t)
				b.mustPull(t)
				var tried, overloaded atomic.Int32
				refuse := refusesAccounts(&tried, http.StatusUnauthorized, "")(nil)
				b.Inject("", "/v2/", 0, answer(func(w http.ResponseWriter, r *http.Request) {
					if _, _, ok := r.BasicAuth(); ok && overloaded.Add(1) == 1 {
						w.WriteHeader(status)
						return
					}
					refuse.ServeHTTP(w, r)
				}))
				request := b.request(t)
				request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "wrong"}
				var err error
				if verb == "push" {
					_, err = b.push(t.Context(), request, named(t, b.host+"/group/source:x"))
				} else {
					b.freshStore(t)
					request.Pin = b.store.NewPin()
					_, err = b.pull(t.Context(), request)
				}
				assert.Check(t, err != nil)
				assert.Equal(t, tried.Load(), int32(1), "%v", err)
			})
		}
	}
}

// TestWrongAccountIsSentOnce refuses an account in the ways in which registries
// and token servers do. Several layers, and sources of mounts, are there to send
// it again.
func TestWrongAccountIsSentOnce(t *testing.T) {
	accounts := map[string]*registrytypes.AuthConfig{
		"password": {Username: "user", Password: "wrong"},
		"identity": {IdentityToken: "wrong"},
	}
	tests := []struct {
		status int
		body   string
	}{
		{http.StatusUnauthorized, ""},
		{http.StatusForbidden, ""},
		{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"no access"}]}`},
		{http.StatusBadRequest, ""},
		{http.StatusBadRequest, `{"error":"invalid_grant"}`},
		{http.StatusNotFound, ""},
		{http.StatusConflict, ""},
	}
	for _, test := range tests {
		for kind, account := range accounts {
			for _, basic := range []bool{true, false} {
				for _, verb := range []string{"pull", "push"} {
					if basic && (kind == "identity" || test.status != http.StatusUnauthorized && test.status != http.StatusForbidden) {
						continue // as it has nothing to do with accounts
					}
					t.Run(fmt.Sprintf("%d %s, %s, basic %t, %s", test.status, test.body, kind, basic, verb), func(t *testing.T) {
						b := newBench(t)
						b.mustPull(t)
						var tried atomic.Int32
						if basic {
							b.Inject("", "/v2/", 0, refusesAccounts(&tried, test.status, test.body))
						} else {
							b.Auth = &fake.Auth{User: "user", Password: "right"}
							b.Inject("", "/token", 0, refusesAccounts(&tried, test.status, test.body))
						}
						request := b.request(t)
						request.Auth = account
						var err error
						if verb == "push" {
							_, err = b.push(t.Context(), request, named(t, b.host+"/group/source:x"))
						} else {
							_, err = b.pull(t.Context(), request)
						}
						assert.Check(t, err != nil)
						// The server may know only the other method.
						most := 1
						if test.status == http.StatusNotFound || test.status == http.StatusBadRequest && test.body == "" || kind == "identity" && test.status == http.StatusUnauthorized {
							most = 2
						}
						assert.Check(t, int(tried.Load()) == most, "the account was sent %d times: %v", tried.Load(), err)
					})
				}
			}
		}
	}
}

// TestWrongAccountIsSentOnceByMounts has no request before the first mount that
// needs an account.
func TestWrongAccountIsSentOnceByMounts(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest} {
		b := newBench(t)
		b.mustPull(t)
		b.Auth = &fake.Auth{User: "user", Password: "right"}
		b.Remove(repository)
		b.Inject("HEAD", "/", 0, fake.Refuse(http.StatusNotFound))
		var tried atomic.Int32
		b.Inject("", "/token", 0, refusesAccounts(&tried, status, ""))
		request := b.request(t)
		request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "wrong"}
		_, err := b.push(t.Context(), request, named(t, b.host+"/group/source:x"), named(t, b.host+"/group/other:x"))
		assert.Check(t, statusOf(err) != nil && statusOf(err).status == status, "%v", err)
		most := 1
		if status == http.StatusBadRequest {
			most = 2 // the server may know only POST
		}
		assert.Equal(t, int(tried.Load()), most, "%d", status)
	}
}

// TestRefusedClassIsAskedForOnce pulls and pushes where the token server refuses
// the class of plugins: it learns so once, also of an account that it has not
// seen yet.
func TestRefusedClassIsAskedForOnce(t *testing.T) {
	for _, verb := range []string{"pull", "push"} {
		b := newBench(t)
		b.mustPull(t)
		b.Auth = &fake.Auth{User: "user", Password: "hunter2", RefusePlugins: true, Uses: 1}
		request := b.request(t)
		request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
		var err error
		if verb == "push" {
			_, err = b.push(t.Context(), request)
		} else {
			b.freshStore(t)
			request.Pin = b.store.NewPin()
			_, err = b.pull(t.Context(), request)
		}
		assert.NilError(t, err)
		withClass := 0
		for _, scopes := range b.Auth.Scopes() {
			if scopes[0] == fmt.Sprintf("repository(plugin):%s:%s", repository, map[string]string{"pull": "pull", "push": "pull,push"}[verb]) {
				withClass++
			}
		}
		assert.Equal(t, withClass, 1, verb)
	}
}

// TestHiddenMountSource refuses the scope of a mount's source in the first
// request that needs a token: the layers are uploaded instead.
func TestHiddenMountSource(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound} {
		for _, kind := range []string{"password", "identity"} {
			t.Run(fmt.Sprint(status, kind), func(t *testing.T) {
				b := newBench(t)
				b.mustPull(t)
				b.Auth = &fake.Auth{User: "user", Password: "hunter2", IdentityToken: "identity", Hidden: []string{"group/source"}, RefuseHidden: status}
				b.Remove(repository)
				b.Inject("HEAD", "/", 0, fake.Refuse(http.StatusNotFound))
				request := b.request(t)
				request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
				if kind == "identity" {
					request.Auth = &registrytypes.AuthConfig{IdentityToken: "identity"}
				}
				_, err := b.push(t.Context(), request, named(t, b.host+"/group/source:x"))
				assert.NilError(t, err)
			})
		}
	}
}
