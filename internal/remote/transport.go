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
	// maxHeaderBytes bounds the headers of an answer. Registries send few, the
	// longest of which are addresses with signatures.
	maxHeaderBytes = 64 << 10
)

// transports send requests to an endpoint's host with the client certificates
// that the operator has set up for it, and to other hosts without: these would
// learn who asks. A host is one at all its ports, as many registries have their
// token server at another. The rest of the TLS configuration is the same for all
// hosts that an endpoint names, as in docker: operators mark a registry as
// insecure, or set up an authority for it, and mean its token server and storage
// as well, which they can't name.
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

// CloseIdleConnections closes the connections. All requests have ended.
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
