package remote

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
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
		{"nobody", nil, "denied", false},
		{"no secret", &registrytypes.AuthConfig{Username: "user"}, "user is denied", false},
		{"nothing of it", account, "user is denied", false},
		{"password", account, "wrong password pass/w ord", true},
		{"in a query", account, "/token?password=pass%2Fw+ord", true},
		{"in a path", account, "/pass%2Fw%20ord", true},
		{"in a header", account, "Basic " + encoded, true},
		{"of an encoded account", &registrytypes.AuthConfig{Auth: encoded}, "pass/w ord", true},
		{"of one that can't be decoded", &registrytypes.AuthConfig{Auth: "%%%"}, "got %%%", true},
		{"identity token", &registrytypes.AuthConfig{IdentityToken: "identity"}, "identity is unknown", true},
		{"registry token", &registrytypes.AuthConfig{RegistryToken: "token"}, "Bearer token", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			shown, err := discreet(test.account, test.text), discreetError(test.account, fmt.Errorf("refused: %w", errors.New(test.text)))
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

// TestUnreachablePlacesTellNoSecret has servers named, and redirected to, by
// addresses with secrets in them, where nobody is.
func TestUnreachablePlacesTellNoSecret(t *testing.T) {
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
