package remote

import (
	"context"
	"net/http"
	"slices"

	"github.com/docker/docker/pkg/progress"
)

// session is one operation: its request, and the endpoints with their
// connections, which end with it.
type session struct {
	client    *Client
	request   Request
	actions   string // that the operation takes on its repository, as tokens name them
	endpoints []*endpoint
	tokens    recentTokens // errors do not show them
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

// close closes the connections. All requests have ended.
func (s *session) close() {
	for _, e := range s.endpoints {
		e.transport.CloseIdleConnections()
	}
}

// source is where the operation's content comes from. Repositories of one
// registry are several: it may serve each as it likes.
func (s *session) source() string { return s.request.Reference.Name() }

// name is the full name of the plugin, with tag and digest.
func (s *session) name() string { return s.request.Reference.String() }

// publicHeader is a header for any server: how the daemon introduces itself,
// and what the request needs.
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

// secretHeader is what the caller wants the registry to be sent, and no other
// server.
func (s *session) secretHeader() http.Header {
	header := http.Header{}
	for name, values := range s.request.Headers {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return header
}
