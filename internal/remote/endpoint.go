// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"sync/atomic"

	"github.com/distribution/reference"
	"github.com/docker/docker/registry"
)

// endpoint is one server of a repository: a mirror, or the registry itself.
type endpoint struct {
	session *session
	base    *url.URL
	mirror  bool
	// insecure is set for a host that the operator allows to work without TLS.
	insecure  bool
	transport *transports
	wire      http.RoundTripper
	tokenWire http.RoundTripper // to the token server
	auth      *authorizer

	plain  atomic.Bool // an insecure host does not support TLS
	secure atomic.Bool // the host has answered over TLS
	down   atomic.Bool // a mirror failed and gets no more requests
}

// lookUpEndpoints returns the endpoints of the repository, in the order of use:
// mirrors, which serve pulls, then the registry itself.
func (s *session) lookUpEndpoints(ctx context.Context) ([]*endpoint, error) {
	domain := reference.Domain(s.request.Reference)
	all, err := s.client.options.resolveHost(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("look up endpoints of %s: %w", domain, err)
	}
	var endpoints []*endpoint
	for _, e := range all {
		if !isFallback(e, all) {
			endpoints = append(endpoints, s.newEndpoint(e, hasFallback(e, all)))
		}
	}
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("look up endpoints of %s: there are none", domain)
	}
	return endpoints, nil
}

// isFallback reports whether an endpoint is the http twin of an https endpoint.
// The pair allows its host to work without TLS.
func isFallback(e registry.APIEndpoint, all []registry.APIEndpoint) bool {
	return e.URL.Scheme == "http" && !e.Mirror && slices.ContainsFunc(all, func(other registry.APIEndpoint) bool {
		return !other.Mirror && other.URL.Scheme == "https" && other.URL.Host == e.URL.Host
	})
}

func hasFallback(e registry.APIEndpoint, all []registry.APIEndpoint) bool {
	return e.URL.Scheme == "https" && !e.Mirror && slices.ContainsFunc(all, func(other registry.APIEndpoint) bool {
		return isFallback(other, all) && other.URL.Host == e.URL.Host
	})
}

func (s *session) newEndpoint(from registry.APIEndpoint, insecure bool) *endpoint {
	e := &endpoint{session: s, base: from.URL, mirror: from.Mirror, insecure: insecure}
	e.transport = s.client.options.transports(from)
	e.wire = &pacer{next: e.transport, options: s.client.options}
	e.tokenWire = &pacer{next: e.transport, options: s.client.options, questions: true}
	e.auth = newAuthorizer(e, s.accountAt(from))
	return e
}

// address returns the URL of a path below the repository.
func (e *endpoint) address(below string, query url.Values) *url.URL {
	address := &url.URL{Scheme: e.base.Scheme, Host: e.base.Host}
	if e.plain.Load() {
		address.Scheme = "http"
	}
	address.Path = path.Join("/", e.base.Path, "v2", reference.Path(e.session.request.Reference)) + "/" + below
	all := url.Values{}
	maps.Copy(all, query)
	// A mirror of several registries needs the name of this one.
	if domain := reference.Domain(e.session.request.Reference); registryName(domain) != registryName(e.base.Host) {
		all.Set("ns", domain)
	}
	address.RawQuery = all.Encode()
	return address
}

// call is a request to a registry.
type call struct {
	method string
	below  string // the path below the repository
	query  url.Values
	target *url.URL // instead of below and query: an address that the registry named
	header http.Header
	body   func() io.ReadCloser
	size   int64
	// sources are other repositories that the call reads from.
	sources []string
}

// do sends a call with the credentials that the registry demands, and repeats it
// while the registry is overloaded. A returned response has a status below 300.
func (e *endpoint) do(ctx context.Context, c call) (*http.Response, error) {
	repeatable := c.method == http.MethodGet || c.method == http.MethodHead
	return e.session.client.options.insist(ctx, repeatable, func() (*http.Response, error) {
		response, err := e.authorized(ctx, c)
		if err == nil || !e.mayFallBack(ctx, c, err) {
			return response, err
		}
		e.plain.Store(true)
		response, plainErr := e.authorized(ctx, c)
		if isUnreachable(plainErr) {
			e.plain.Store(false)
			return nil, err
		}
		return response, plainErr
	})
}

// mayFallBack reports whether a host may have failed because it does not support
// TLS. The first request of an operation has no body that could be lost.
func (e *endpoint) mayFallBack(ctx context.Context, c call, err error) bool {
	return e.insecure && isUnreachable(err) && c.target == nil && c.body == nil &&
		!e.secure.Load() && !e.plain.Load() && ctx.Err() == nil
}

// isUnreachable reports whether an error means that a server did not answer.
func isUnreachable(err error) bool {
	_, broken := find[*connectionError](err)
	_, stalled := find[*StalledError](err)
	return broken || stalled
}

// once sends a call with an Authorization header, and follows redirects.
func (e *endpoint) once(ctx context.Context, c call, authorization string) (*http.Response, error) {
	target := c.target
	if target == nil {
		target = e.address(c.below, c.query)
	}
	home := originOf(e.address("", nil))
	m := &message{
		method: c.method,
		header: e.session.publicHeader(c.header),
		home:   home,
		secret: http.Header{},
		body:   c.body,
		size:   c.size,

		mayLeaveTLS: e.insecure,
	}
	// A mirror learns nothing about the caller.
	if !e.mirror {
		maps.Copy(m.secret, e.session.secretHeader())
	}
	if authorization != "" {
		m.secret.Set("Authorization", authorization)
	}
	response, err := m.send(ctx, e.wire, target)
	if err == nil && home == originOf(response.Request.URL) && response.Request.URL.Scheme == "https" {
		e.secure.Store(true)
	}
	return response, err
}

// isHome reports whether a response comes from the endpoint itself, not from a
// server that it redirected to.
func (e *endpoint) isHome(response *http.Response) bool {
	return originOf(response.Request.URL) == originOf(e.address("", nil))
}

// failed records that an endpoint failed. A mirror that failed once gets no more
// requests in this operation, because the registry can serve them.
func (e *endpoint) failed(ctx context.Context, err error) {
	if !e.mirror || ctx.Err() != nil {
		return
	}
	if status := statusOf(err); status == nil || status.isOverload() {
		e.down.Store(true)
	}
}

// ask tries one endpoint after the other until one answers. The last endpoint is
// the registry itself, so its error is returned.
func ask[T any](ctx context.Context, endpoints []*endpoint, try func(*endpoint) (T, error)) (answer T, err error) {
	err = errors.New("all mirrors have failed, and no registry is known")
	for _, e := range endpoints {
		if e.down.Load() {
			continue
		}
		if answer, err = try(e); err == nil || ctx.Err() != nil {
			return answer, err
		}
		e.failed(ctx, err)
	}
	return answer, err
}
