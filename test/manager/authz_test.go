// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/pkg/authorization"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

// TestDisableRemovesAuthorizationPlugin ends an authorization plugin in every
// way. A disabled plugin must leave docker's middleware, which would otherwise
// call it for ever and refuse all requests. At a shutdown the plugin stays in the
// middleware, because the daemon's API ends later and must stay guarded.
func TestDisableRemovesAuthorizationPlugin(t *testing.T) {
	for _, tc := range []struct {
		name  string
		leave func(w *world) error
		stays bool
	}{
		{"disable", func(w *world) error { return w.Disable("authz", nil) }, false},
		{"forced disable", func(w *world) error {
			return w.Disable("authz", &backend.PluginDisableConfig{ForceDisable: true})
		}, false},
		{"forced remove", func(w *world) error {
			return w.Remove("authz", &backend.PluginRmConfig{ForceRemove: true})
		}, false},
		{"shutdown", func(w *world) error { w.Shutdown(); return nil }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.Config.LiveRestoreEnabled = tc.stays
			asked := 0
			w.Executor.Behaviour = plugintest.Behaviour{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				asked++
				_, _ = rw.Write([]byte(`{"Implements":["authz"],"Allow":false,"Msg":"no"}`))
			})}
			middleware := authorization.NewMiddleware([]string{"authz:latest"}, w.Config.Store)
			w.Config.AuthzMiddleware = middleware
			w.start()
			w.Create("authz", "docker.authz/1.0")
			w.MustEnable("authz")
			request := func() (served bool) {
				handler := middleware.WrapHandler(func(_ context.Context, rw http.ResponseWriter, _ *http.Request, _ map[string]string) error {
					served = true
					return nil
				})
				_ = handler(t.Context(), httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil), nil)
				return served
			}
			assert.Check(t, !request(), "the plugin was not asked")
			assert.Check(t, asked > 0)
			assert.NilError(t, tc.leave(w))
			assert.Equal(t, request(), !tc.stays)
		})
	}
}
