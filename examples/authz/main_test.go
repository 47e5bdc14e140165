// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/pkg/authorization"
	helper "github.com/docker/go-plugins-helpers/authorization"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/examples/internal/trial"
)

func TestPolicy(t *testing.T) {
	const privileged = `{"Image":"busybox","HostConfig":{"Privileged":true}}`
	for _, tc := range []struct {
		name            string
		user, uri, body string
		allow           bool
	}{
		{"another request", "", "/v1.51/containers/json", "", true},
		{"an ordinary container", "", "/v1.51/containers/create?name=a", `{"Image":"busybox"}`, true},
		{"a privileged container", "", "/v1.51/containers/create?name=a", privileged, false},
		{"without a version", "", "/containers/create", privileged, false},
		{"in other words", "", "/v1.51/containers/./create", `{"hostconfig":{"PRIVILEGED":true}}`, false},
		{"no configuration", "", "/containers/create", "", false},
		{"no URI", "", "%", "", false},
		{"a stranger", "eve", "/containers/create", privileged, false},
		{"a trusted user", "alice", "/containers/create", privileged, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer := newPolicy("alice, bob,").AuthZReq(helper.Request{User: tc.user, RequestURI: tc.uri, RequestBody: []byte(tc.body)})
			assert.Equal(t, answer.Allow, tc.allow)
			assert.Equal(t, answer.Msg == "", tc.allow)
		})
	}
}

// TestPlugin asks the plugin with docker's own middleware for authorization.
func TestPlugin(t *testing.T) {
	daemon := trial.NewDaemon(t)
	daemon.Install("example/authz")
	assert.NilError(t, daemon.Manager.Set("example/authz", []string{"TRUSTED=alice"}))
	daemon.Enable("example/authz")

	handle := authorization.NewMiddleware([]string{"example/authz"}, daemon.Store).WrapHandler(
		func(_ context.Context, w http.ResponseWriter, _ *http.Request, _ map[string]string) error {
			w.WriteHeader(http.StatusCreated)
			return nil
		})
	ask := func(user, body string) error {
		request := httptest.NewRequest(http.MethodPost, "/v1.51/containers/create?name=a", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(t, user)}}
		return handle(t.Context(), httptest.NewRecorder(), request, nil)
	}
	assert.NilError(t, ask("eve", `{"Image":"busybox"}`))
	assert.NilError(t, ask("alice", `{"HostConfig":{"Privileged":true}}`))
	assert.ErrorContains(t, ask("eve", `{"HostConfig":{"Privileged":true}}`), "privileged containers are not allowed here")
	daemon.Remove("example/authz")
}

// certificate returns the certificate of a client.
func certificate(t *testing.T, user string) *x509.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	assert.NilError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}}
	encoded, err := x509.CreateCertificate(nil, template, template, public, private)
	assert.NilError(t, err)
	parsed, err := x509.ParseCertificate(encoded)
	assert.NilError(t, err)
	return parsed
}
