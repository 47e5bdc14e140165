// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// maxHops bounds the redirects of one request, like net/http's client.
const maxHops = 10

// message is one request, with the recipients of its parts. All requests go
// through a message, so that one rule decides what each server receives.
type message struct {
	method string
	// header is sent to every server that a registry redirects to.
	header http.Header
	// secret is sent only to home, as is the body if private is set.
	home    origin
	secret  http.Header
	private bool
	// body opens the body from its beginning; nil means none.
	body func() io.ReadCloser
	size int64
	// mayLeaveTLS permits redirects from https to http.
	mayLeaveTLS bool
}

// send sends the message to target and follows redirects. Each hop receives only
// its parts, whatever hops came before. The error of a refused redirect is of
// type [RedirectError].
func (m *message) send(ctx context.Context, next http.RoundTripper, target *url.URL) (*http.Response, error) {
	for range maxHops + 1 {
		response, err := next.RoundTrip(m.request(ctx, target))
		if err != nil {
			return nil, connectionTo(target.Host, err)
		}
		to, err := m.redirected(response, target)
		if err != nil {
			_ = response.Body.Close()
			return nil, err
		}
		if to == nil {
			return response, nil
		}
		discard(response)
		target = to
	}
	return nil, newRedirectError(target, target, fmt.Sprintf("the request was redirected %d times", maxHops+1))
}

// request returns the message in the form that the server at target receives. An
// account in the address, of a storage that the registry redirects to, is for that
// server, as in net/http.
func (m *message) request(ctx context.Context, target *url.URL) *http.Request {
	request := (&http.Request{
		Method:     m.method,
		URL:        &url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path, RawPath: target.RawPath, RawQuery: target.RawQuery},
		Host:       target.Host,
		Header:     http.Header{},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}).WithContext(ctx)
	if originOf(target) == m.home {
		maps.Copy(request.Header, m.secret)
	}
	maps.Copy(request.Header, m.header)
	if user := target.User; user != nil && request.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	// A digest is that of the plain bytes, not of an encoding.
	request.Header.Set("Accept-Encoding", "identity")
	switch {
	case m.body == nil:
	case m.size == 0:
		request.Body = http.NoBody
	default:
		request.Body, request.ContentLength = m.body(), m.size
		request.GetBody = func() (io.ReadCloser, error) { return m.body(), nil }
	}
	return request
}

// redirected returns the target of a redirect, or nil if the response is none.
func (m *message) redirected(response *http.Response, from *url.URL) (*url.URL, error) {
	location := response.Header.Get("Location")
	keepsMethod := response.StatusCode == http.StatusTemporaryRedirect || response.StatusCode == http.StatusPermanentRedirect
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	if location == "" {
		return nil, nil
	}
	to, err := resolveLocation(from, location)
	if err != nil {
		return nil, err
	}
	if err := checkStep(from, to, m.mayLeaveTLS); err != nil {
		return nil, err
	}
	isQuestion := m.method == http.MethodGet || m.method == http.MethodHead
	if !isQuestion && !keepsMethod {
		return nil, newRedirectError(from, to, fmt.Sprintf("status %d does not keep the method %s", response.StatusCode, m.method))
	}
	if m.private && originOf(to) != m.home {
		return nil, newRedirectError(from, to, "the request holds a secret of another server")
	}
	return to, nil
}

// resolveLocation resolves a Location against the address of its response:
// https://www.rfc-editor.org/rfc/rfc9110#section-10.2.2.
func resolveLocation(from *url.URL, location string) (*url.URL, error) {
	relative, err := url.Parse(location)
	if err != nil {
		// The error would repeat the address, which can be a secret.
		return nil, newRedirectError(from, &url.URL{}, "the address can't be parsed")
	}
	return from.ResolveReference(relative), nil
}

// connectionError is the failure of a connection to a server.
type connectionError struct {
	host string
	err  error
}

func (e *connectionError) Error() string { return plaintext.Sprintf("%s: %v", e.host, e.err) }

func (e *connectionError) Unwrap() error { return e.err }

// connectionTo marks err as the failure of a connection, unless it is a
// [StalledError].
func connectionTo(host string, err error) error {
	if stalled, ok := find[*StalledError](err); ok {
		return stalled
	}
	return &connectionError{host: host, err: err}
}
