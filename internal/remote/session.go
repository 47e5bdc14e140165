// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"net/http"
	"slices"

	"github.com/docker/docker/pkg/progress"
)

// session is one operation: its request, and its endpoints with their
// connections.
type session struct {
	client    *Client
	request   Request
	actions   string // the actions on the repository, in the syntax of token scopes
	endpoints []*endpoint
	tokens    recentTokens // which errors must not show
}

// open begins an operation.
func (c *Client) open(ctx context.Context, request Request, actions string) (*session, error) {
	if request.Progress == nil {
		request.Progress = progress.DiscardOutput()
	}
	s := &session{client: c, request: request, actions: actions}
	var err error
	s.endpoints, err = s.lookUpEndpoints(ctx)
	return s, err
}

// close closes the connections, after all requests have ended.
func (s *session) close() {
	for _, e := range s.endpoints {
		e.transport.CloseIdleConnections()
	}
}

// source names the origin of the operation's content. It is the repository, not
// the registry, because a registry may serve each repository differently.
func (s *session) source() string { return s.request.Reference.Name() }

// name is the full name of the plugin, with tag and digest.
func (s *session) name() string { return s.request.Reference.String() }

// publicHeader returns the headers for every server: the User-Agent, and those
// that the request needs.
func (s *session) publicHeader(needed http.Header) http.Header {
	header := http.Header{"User-Agent": {s.client.options.UserAgent}}
	for name, values := range s.request.Headers {
		if http.CanonicalHeaderKey(name) == "User-Agent" && len(values) > 0 && values[0] != "" {
			header.Set("User-Agent", values[0])
		}
	}
	for name, values := range needed {
		header[name] = slices.Clone(values)
	}
	return header
}

// secretHeader returns the caller's headers, which only the registry receives.
func (s *session) secretHeader() http.Header {
	header := http.Header{}
	for name, values := range s.request.Headers {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return header
}
