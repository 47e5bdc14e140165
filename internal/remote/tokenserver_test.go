// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"testing"
	"time"

	registrytypes "github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// A request to a token server that does not answer is repeated, also a request with
// a body: it is not an upload, which can take long to commit.
func TestSilentTokenServer(t *testing.T) {
	for name, account := range map[string]*registrytypes.AuthConfig{
		"password": {Username: "user", Password: "hunter2"},
		"identity": {IdentityToken: "identity"},
	} {
		for fault, inject := range map[string]func(release chan struct{}) fake.Fault{
			"no answer": func(release chan struct{}) fake.Fault { return fake.Hold(release) },
			"no body":   func(chan struct{}) fake.Fault { return fake.Stall(0) },
			"half":      func(chan struct{}) fake.Fault { return fake.Stall(10) },
		} {
			t.Run(name+", "+fault, func(t *testing.T) {
				b := newBench(t)
				b.options.IdleTimeout = 200 * time.Millisecond
				b.options.CommitTimeout = time.Hour
				b.Auth = &fake.Auth{User: "user", Password: "hunter2", IdentityToken: "identity"}
				release := make(chan struct{})
				defer close(release)
				b.Inject("", "/token", 1, inject(release))
				request := b.request(t)
				request.Auth = account
				_, err := b.pull(t.Context(), request)
				assert.NilError(t, err)
			})
		}
	}
}
