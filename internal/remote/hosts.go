package remote

import (
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/docker/docker/registry"
)

const dialTimeout = 30 * time.Second

// hosts is where containerd's client looks for a repository, in this order:
// mirrors, to pull from, then the registry itself.
func (s *session) hosts() ([]docker.RegistryHost, error) {
	domain := reference.Domain(s.request.Reference)
	endpoints, err := s.client.options.Endpoints.LookupPullEndpoints(domain)
	if err != nil {
		return nil, fmt.Errorf("look up endpoints of %s: %w", domain, err)
	}
	var hosts []docker.RegistryHost
	for _, endpoint := range endpoints {
		if !isFallback(endpoint, endpoints) {
			hosts = append(hosts, s.host(endpoint, hasFallback(endpoint, endpoints)))
		}
	}
	return hosts, nil
}

// isFallback tells the http twin of an https endpoint, which marks its host as
// one that may have no TLS.
func isFallback(endpoint registry.APIEndpoint, all []registry.APIEndpoint) bool {
	return endpoint.URL.Scheme == "http" && !endpoint.Mirror && slices.ContainsFunc(all, func(other registry.APIEndpoint) bool {
		return !other.Mirror && other.URL.Scheme == "https" && other.URL.Host == endpoint.URL.Host
	})
}

func hasFallback(endpoint registry.APIEndpoint, all []registry.APIEndpoint) bool {
	return endpoint.URL.Scheme == "https" && !endpoint.Mirror && slices.ContainsFunc(all, func(other registry.APIEndpoint) bool {
		return isFallback(other, all) && other.URL.Host == endpoint.URL.Host
	})
}

func (s *session) host(endpoint registry.APIEndpoint, fallback bool) docker.RegistryHost {
	client := &http.Client{Transport: s.transport(endpoint, fallback)}
	host := docker.RegistryHost{
		Client:       client,
		Authorizer:   s.authorizer(endpoint, client),
		Host:         endpoint.URL.Host,
		Scheme:       endpoint.URL.Scheme,
		Path:         path.Join("/", endpoint.URL.Path, "v2"),
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		Header:       s.headers(endpoint),
	}
	if !endpoint.Mirror {
		host.Capabilities |= docker.HostCapabilityPush
	}
	return host
}

// headers are those of the caller, of whom a mirror learns nothing.
func (s *session) headers(endpoint registry.APIEndpoint) http.Header {
	headers := http.Header{}
	if !endpoint.Mirror {
		for name, values := range s.request.Headers {
			headers[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	if headers.Get("User-Agent") == "" {
		headers.Set("User-Agent", s.client.options.UserAgent)
	}
	return headers
}

// transport is how an endpoint is spoken to, from the outside to the inside.
func (s *session) transport(endpoint registry.APIEndpoint, fallback bool) http.RoundTripper {
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext,
		TLSClientConfig:     endpoint.TLSConfig.Clone(),
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: s.client.options.Transfers,
		DisableCompression:  true,
		ForceAttemptHTTP2:   true,
	}
	s.transports = append(s.transports, base)
	var inner http.RoundTripper = base
	if fallback {
		inner = &plainFallback{next: inner, host: endpoint.URL.Host}
	}
	inner = &idleGuard{next: inner, timeout: s.client.options.IdleTimeout}
	inner = &retrier{next: inner, options: s.client.options}
	if endpoint.Mirror {
		inner = &mirrorGate{next: inner, host: endpoint.URL.Host}
	}
	return &courtesy{next: inner, session: s}
}
