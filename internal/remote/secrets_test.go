// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func TestDiscreet(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("user:pass/w ord"))
	account := &registrytypes.AuthConfig{Username: "user", Password: "pass/w ord"}
	tests := []struct {
		name    string
		account *registrytypes.AuthConfig
		text    string
		hidden  bool
	}{
		{"no account", nil, "denied", false},
		{"no secret", &registrytypes.AuthConfig{Username: "user"}, "user is denied", false},
		{"nothing of it", account, "user is denied", false},
		{"password", account, "wrong password pass/w ord", true},
		{"in a query", account, "/token?password=pass%2Fw+ord", true},
		{"in a path", account, "/pass%2Fw%20ord", true},
		{"in a header", account, "Basic " + encoded, true},
		{"of an encoded account", &registrytypes.AuthConfig{Auth: encoded}, "pass/w ord", true},
		{"of an account that can't be decoded", &registrytypes.AuthConfig{Auth: "%%%"}, "got %%%", true},
		{"identity token", &registrytypes.AuthConfig{IdentityToken: "identity"}, "identity is unknown", true},
		{"registry token", &registrytypes.AuthConfig{RegistryToken: "token"}, "Bearer token", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			shown, err := discreet(secretsOf(test.account), test.text), discreetError(secretsOf(test.account), fmt.Errorf("refused: %w", errors.New(test.text)))
			if test.hidden {
				assert.Equal(t, shown, withheld)
				assert.Equal(t, err.Error(), withheld)
				assert.Check(t, errors.Unwrap(err) == nil, "the cause is there to be shown")
				return
			}
			assert.Equal(t, shown, test.text)
			assert.Equal(t, err.Error(), "refused: "+test.text)
		})
	}
}

// TestSecretsInHeaders: the caller's headers are as secret as its account.
func TestSecretsInHeaders(t *testing.T) {
	headers := http.Header{
		"authorization": {"Bearer own+token"},
		"Cookie":        {"lang=en; session=biscuit/1"},
		"X-Meta-Key":    {"two words", "hunter2"},
		"X-Meta-Flag":   {"true", ""},
		"User-Agent":    {"daemon/28.0"},
	}
	for text, hidden := range map[string]bool{
		"got Bearer own+token":      true,
		"own+token is unknown":      true,
		"/token?key=own%2Btoken":    true,
		"no such session biscuit/1": true,
		"refused: two words":        true,
		"hunter2":                   true,
		"it is true":                false,
		"daemon/28.0 is too old":    false,
		"the two are English words": false,
	} {
		assert.Equal(t, discreet(secretsIn(headers), text) == withheld, hidden, text)
	}
}

// TestAnswersThatRepeatHeaders refuses a pull with each header of the
// caller as the reason.
func TestAnswersThatRepeatHeaders(t *testing.T) {
	for _, name := range []string{"Authorization", "X-Meta-Key"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject("GET", "/manifests/", 0, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusForbidden)
					_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, r.Header.Get(name))
				})
			})
			request := b.request(t)
			request.Headers = http.Header{name: {"Bearer hunter2"}}
			_, err := b.pull(t.Context(), request)
			assert.ErrorContains(t, err, withheld)
			for ; err != nil; err = errors.Unwrap(err) {
				assert.Check(t, !strings.Contains(err.Error(), "hunter2"), "%v", err)
			}
		})
	}
}

// TestUnreachablePlacesShowNoSecret names and redirects to unreachable addresses with
// secrets in them.
func TestUnreachablePlacesShowNoSecret(t *testing.T) {
	const nowhere = "http://user:hunter2@127.0.0.1:1/x?signature=hunter2"
	tests := []struct {
		name    string
		prepare func(b *bench)
	}{
		{"token server", func(b *bench) { b.Auth = &fake.Auth{User: "user", Password: "hunter2", Realm: nowhere} }},
		{"redirected blobs", func(b *bench) {
			b.Inject("", "/blobs/", 0, func(http.Handler) http.Handler { return http.RedirectHandler(nowhere, http.StatusTemporaryRedirect) })
		}},
		{"redirected manifests", func(b *bench) {
			b.Inject("", "/manifests/", 0, func(http.Handler) http.Handler { return http.RedirectHandler(nowhere, http.StatusTemporaryRedirect) })
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.options.RetryWait = time.Microsecond
			test.prepare(b)
			request := b.request(t)
			request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
			_, err := b.pull(t.Context(), request)
			assert.Assert(t, err != nil)
			for ; err != nil; err = errors.Unwrap(err) {
				assert.Check(t, !is.Contains(err.Error(), "hunter2")().Success(), "%v", err)
			}
		})
	}
}

// A registry can repeat what it was sent anywhere in its answers.
func TestAnswersThatRepeatSecrets(t *testing.T) {
	repeats := func(answer func(w http.ResponseWriter, secret string)) fake.Fault {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
				if !ok {
					next.ServeHTTP(w, r)
					return
				}
				answer(w, secret)
			})
		}
	}
	for name, fault := range map[string]fake.Fault{
		"reason": repeats(func(w http.ResponseWriter, secret string) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, secret)
		}),
		"type": repeats(func(w http.ResponseWriter, secret string) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q}`, secret)
		}),
		"redirect": repeats(func(w http.ResponseWriter, secret string) {
			w.Header().Set("Location", "file://"+strings.NewReplacer(":", "-", "/", "-", "(", "", ")", "", " ", "-").Replace(secret)+"/"+url.PathEscape(secret))
			w.WriteHeader(http.StatusFound)
		}),
		"encoding": repeats(func(w http.ResponseWriter, secret string) { w.Header().Set("Content-Encoding", secret) }),
	} {
		for _, basic := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, basic %t", name, basic), func(t *testing.T) {
				b := newBench(t)
				b.Auth = &fake.Auth{User: "user", Password: "hunter2", Basic: basic}
				b.Inject("GET", "/manifests/", 0, fault)
				request := b.request(t)
				request.Auth = &registrytypes.AuthConfig{Username: "user", Password: "hunter2"}
				_, err := b.pull(t.Context(), request)
				assert.Assert(t, err != nil)
				for ; err != nil; err = errors.Unwrap(err) {
					for _, secret := range []string{"hunter2", "dXNlcjpodW50ZXIy", ":pull repository:group"} {
						assert.Check(t, !strings.Contains(err.Error(), secret), "%v", err)
					}
				}
			})
		}
	}
}
