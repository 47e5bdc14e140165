// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/memnet"
)

// web is a network in memory, with a server at each address that one is wanted
// at. Servers note what they are sent.
type web struct {
	memnet.Network
	serve func(w http.ResponseWriter, r *http.Request, at origin)

	mu    sync.Mutex
	noted []note
}

// note is a request as a server was sent it.
type note struct {
	at      origin
	request *http.Request
	body    string
}

func newWeb(t *testing.T, serve func(w http.ResponseWriter, r *http.Request, at origin), at ...origin) *web {
	t.Helper()
	w := &web{serve: serve}
	for _, address := range at {
		w.start(t, address)
	}
	return w
}

func (w *web) start(t *testing.T, at origin) {
	t.Helper()
	listener := w.Listen(at.address())
	if at.isSecure() {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{selfSigned()}})
	}
	server := &http.Server{ErrorLog: discardLog, Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		request.Body = io.NopCloser(bytes.NewReader(body))
		w.mu.Lock()
		w.noted = append(w.noted, note{at, request, string(body)})
		w.mu.Unlock()
		w.serve(answer, request, at)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// takeNotes returns what was noted since the last call.
func (w *web) takeNotes() []note {
	w.mu.Lock()
	defer w.mu.Unlock()
	noted := w.noted
	w.noted = nil
	return noted
}

func (o origin) isSecure() bool { return o[:5] == "https" }

func (o origin) address() string {
	if o.isSecure() {
		return string(o[len("https://"):])
	}
	return string(o[len("http://"):])
}

// selfSigned is a certificate for whoever does not verify it.
var selfSigned = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(1000000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func TestOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"https://host", "https://host:443/x", true},
		{"https://HOST", "https://host", true},
		{"http://host", "http://host:80", true},
		{"https://host", "https://host:5000", false},
		{"https://host", "http://host", false},
		{"https://host", "http://host:443", false},
		{"https://host", "https://other", false},
		{"https://host", "https://sub.host", false},
		{"https://host", "https://host.", false},
		{"http://[::1]:5000", "http://[::1]:5000/v2", true},
		{"http://[::1]:5000", "http://[::1]", false},
		{"http://user:pw@host", "http://host", true},
	} {
		a, b := endpointAt(t, test.a).URL, endpointAt(t, test.b).URL
		assert.Equal(t, originOf(a) == originOf(b), test.same, "%s %s", test.a, test.b)
	}
}
