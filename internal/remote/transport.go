// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/docker/docker/registry"
)

const (
	dialTimeout = 30 * time.Second
	// maxHeaderBytes bounds the headers of an answer. The longest that registries
	// send are addresses with signatures.
	maxHeaderBytes = 64 << 10
)

// transports send the operator's client certificates to an endpoint's host only,
// because they would identify the user to other hosts. Ports do not matter: many
// registries have their token server at another port. As in docker, the rest of
// the TLS configuration is the same for all hosts that an endpoint names: an
// operator who marks a registry as insecure, or configures an authority for it,
// also means its token server and storage, which have no configuration.
type transports struct {
	home  string // a host name
	own   *http.Transport
	other *http.Transport
}

func (o Options) transports(e registry.APIEndpoint) *transports {
	anonymous := e.TLSConfig.Clone()
	if anonymous != nil {
		anonymous.Certificates, anonymous.GetClientCertificate = nil, nil
	}
	return &transports{home: e.URL.Hostname(), own: o.transport(e.TLSConfig), other: o.transport(anonymous)}
}

// RoundTrip implements [http.RoundTripper].
func (t *transports) RoundTrip(request *http.Request) (*http.Response, error) {
	if strings.EqualFold(request.URL.Hostname(), t.home) {
		return t.own.RoundTrip(request)
	}
	return t.other.RoundTrip(request)
}

// CloseIdleConnections closes the connections, after all requests have ended.
func (t *transports) CloseIdleConnections() {
	t.own.CloseIdleConnections()
	t.other.CloseIdleConnections()
}

func (o Options) transport(config *tls.Config) *http.Transport {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext
	}
	return &http.Transport{
		// A connection over HTTP/2 outlives its requests. It is closed after the
		// operation, but not if a cancelled request still ends then, or if the server
		// receives no byte.
		IdleConnTimeout: o.IdleTimeout,
		HTTP2:           &http.HTTP2Config{WriteByteTimeout: o.IdleTimeout},

		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial,
		TLSClientConfig:        config.Clone(),
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConnsPerHost:    o.Transfers,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}
