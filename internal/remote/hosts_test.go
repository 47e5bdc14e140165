// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

func (b *bench) mirror(t *testing.T, path string) *fake.Registry {
	t.Helper()
	mirror := fake.New()
	e := endpointAt(t, "http://"+mirror.Start(t)+path)
	e.Mirror = true
	b.options.Endpoints = endpoints{e, endpointAt(t, "http://"+b.host)}
	return mirror
}

func TestMirror(t *testing.T) {
	b := newBench(t)
	mirror := b.mirror(t, "/below/a/path/")
	mirror.PutPlugin(repository, "latest", []byte(config), b.packed...)
	b.mustPull(t)
	assert.Equal(t, len(b.Requests()), 0)
	for _, r := range mirror.Requests() {
		assert.Check(t, strings.HasPrefix(r.Path, "/below/a/path/v2/"+repository+"/"), r.Path)
		assert.Equal(t, r.Header.Get("User-Agent"), "dovetail")
	}
}

// TestMirrorThatFails pulls from the registry the content that a mirror lacks or
// fails to send.
func TestMirrorThatFails(t *testing.T) {
	tests := []struct {
		name   string
		damage func(mirror *fake.Registry)
		most   int // requests to the mirror
	}{
		{"has nothing", func(*fake.Registry) {}, 100},
		{"fails", func(m *fake.Registry) { m.Inject("", "", 0, fake.Refuse(http.StatusBadGateway)) }, maxRetries + 1},
		{"stalls", func(m *fake.Registry) { m.Inject("", "", 0, fake.Stall(0)) }, 2},
		{"cuts", func(m *fake.Registry) { m.Inject(http.MethodGet, "/blobs/", 0, fake.Cut(1000)) }, 5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.options.IdleTimeout = 200 * time.Millisecond
			mirror := b.mirror(t, "")
			if test.name != "has nothing" {
				mirror.PutPlugin(repository, "latest", []byte(config), b.packed...)
			}
			test.damage(mirror)
			b.mustPull(t)
			assert.Check(t, len(mirror.Requests()) <= test.most)
		})
	}
}

func TestTLS(t *testing.T) {
	secure := func(t *testing.T) (*bench, *x509.CertPool) {
		b := newBench(t)
		server := b.StartTLS(t)
		b.host = strings.TrimPrefix(server.URL, "https://")
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		return b, pool
	}
	t.Run("known authority", func(t *testing.T) {
		b, pool := secure(t)
		e := endpointAt(t, "https://"+b.host)
		e.TLSConfig = &tls.Config{RootCAs: pool}
		b.options.Endpoints = endpoints{e}
		b.mustPull(t)
	})
	t.Run("unknown authority", func(t *testing.T) {
		b, _ := secure(t)
		b.options.Endpoints = endpoints{endpointAt(t, "https://"+b.host)}
		_, err := b.pull(t.Context(), b.request(t))
		assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
		assert.Check(t, is.ErrorContains(err, "certificate"))
	})
	t.Run("insecure", func(t *testing.T) {
		b, _ := secure(t)
		b.options.Endpoints = insecure(t, b.host)
		b.mustPull(t)
	})
}

// insecure is what docker's resolver says of a host that is marked insecure.
func insecure(t *testing.T, host string) endpoints {
	t.Helper()
	unverified := &tls.Config{InsecureSkipVerify: true}
	both := endpoints{endpointAt(t, "https://"+host), endpointAt(t, "http://"+host)}
	both[0].TLSConfig, both[1].TLSConfig = unverified, unverified
	return both
}

// Only a host that is marked may be spoken to in the clear.
func TestPlainHTTP(t *testing.T) {
	b := newBench(t)
	b.options.Endpoints = endpoints{endpointAt(t, "https://"+b.host)}
	_, err := b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsUnavailable(err), "%v", err)
	assert.Equal(t, len(b.Requests()), 0)

	b.options.Endpoints = insecure(t, b.host)
	b.Auth = &fake.Auth{User: "user", Password: "hunter2"}
	_, err = b.pull(t.Context(), b.request(t))
	assert.Check(t, errdefs.IsUnauthorized(err), "what the host refuses without TLS counts: %v", err)
	b.Auth = nil
	b.mustPull(t)
	target := b.target
	request := b.request(t)
	request.Reference = named(t, b.host+"/other/name:tag")
	_, err = New(b.options).Push(t.Context(), request, target.Digest)
	assert.NilError(t, err)
}

// Registries that interpret Accept differently, lack HEAD, or use other media types
// for manifests.
func TestPeculiarRegistries(t *testing.T) {
	tests := map[string]fake.Fault{
		"first accept only": fake.FirstAcceptOnly,
		"no HEAD":           fake.NoHead,
		"no digest":         fake.SetHeader("Docker-Content-Digest", ""),
		"no type":           fake.SetHeader("Content-Type", "application/json; charset=utf-8"),
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.Inject("", "/manifests/", 0, fault)
			b.mustPull(t)
		})
	}
}

// TestStalledPullDelaysNoOtherVerb stalls a pull: neither another pull nor a sweep waits
// for it.
func TestStalledPullDelaysNoOtherVerb(t *testing.T) {
	b := newBench(t)
	b.PutPlugin("other/plugin", "latest", []byte(`{"other":true}`), pack(t, "other"))
	stalled := make(chan struct{})
	b.Inject(http.MethodGet, blobPath(b.packed[0]), 1, func(next http.Handler) http.Handler {
		close(stalled)
		return fake.Stall(1000)(next)
	})
	done := make(chan error, 1)
	b.options.IdleTimeout = 2 * time.Second
	go func() {
		_, err := b.pull(t.Context(), b.request(t))
		done <- err
	}()
	<-stalled
	begun := time.Now()
	request := b.request(t)
	request.Reference = named(t, b.host+"/other/plugin")
	_, err := b.pull(t.Context(), request)
	assert.NilError(t, err)
	_, err = b.store.Sweep(t.Context(), nothing)
	assert.NilError(t, err)
	assert.Check(t, time.Since(begun) < time.Second)
	assert.NilError(t, <-done)
}

func nothing(context.Context) (map[digest.Digest]struct{}, error) { return nil, nil }
