// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"gotest.tools/v3/assert"
)

// TestClientCertificateIsForItsHost redirects to another host, and to another
// port of the same one. Only the latter gets the certificate.
func TestClientCertificateIsForItsHost(t *testing.T) {
	for _, elsewhere := range []bool{true, false} {
		b := newBench(t)
		var home, other atomic.Int64 // certificates that were sent
		serve := func(certificates *atomic.Int64, handler http.HandlerFunc) *httptest.Server {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				certificates.Add(int64(len(r.TLS.PeerCertificates)))
				handler(w, r)
			}))
			server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
			server.StartTLS()
			t.Cleanup(server.Close)
			return server
		}
		asked := make(chan struct{}, 100)
		storage := serve(&other, func(w http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			b.Registry.ServeHTTP(w, r)
		}).URL
		if elsewhere {
			storage = strings.Replace(storage, "127.0.0.1", "localhost", 1)
		}
		address := serve(&home, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, storage+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			b.Registry.ServeHTTP(w, r)
		}).URL
		e := endpointAt(t, address)
		e.TLSConfig = &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{selfSigned()}}
		b.options.Endpoints = endpoints{e}
		_, err := b.pull(t.Context(), b.request(t))
		assert.NilError(t, err)
		assert.Check(t, len(asked) > 0, "the storage was not asked")
		assert.Check(t, home.Load() > 0, "the registry got no certificate")
		assert.Equal(t, other.Load() == 0, elsewhere, "the storage got %d certificates", other.Load())
	}
}
