package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/progress"
	"github.com/sirupsen/logrus"
)

// session is one operation: its request, and connections that end with it.
type session struct {
	client   *Client
	request  Request
	actions  string // that the operation takes on its repository, as tokens name them
	resolver remotes.Resolver

	cancel     context.CancelFunc
	transports []*http.Transport
	tracker    docker.StatusTracker

	mu     sync.Mutex
	closed bool
	// requests are under way: containerd runs uploads on goroutines that
	// nobody else waits for.
	requests sync.WaitGroup
}

// open begins an operation, whose requests end with the context it returns.
func (c *Client) open(ctx context.Context, request Request, actions string) (*session, context.Context) {
	if request.Progress == nil {
		request.Progress = progress.DiscardOutput()
	}
	s := &session{client: c, request: request, actions: actions, tracker: docker.NewInMemoryTracker()}
	ctx, s.cancel = context.WithCancel(quiet(ctx))
	// The client asks anew for each transfer, but tokens and connections are
	// to be shared.
	hosts := sync.OnceValues(s.hosts)
	s.resolver = docker.NewResolver(docker.ResolverOptions{
		Hosts:   func(string) ([]docker.RegistryHost, error) { return hosts() },
		Tracker: s.tracker,
	})
	return s, ctx
}

// quiet keeps containerd's client from logging: who asked is told by errors.
func quiet(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}

// close ends all requests and waits for them.
func (s *session) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.requests.Wait()
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}

// begin counts a request, which calls done at its end, unless the session has
// ended.
func (s *session) begin() (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	s.requests.Add(1)
	return s.requests.Done, true
}

// name is the full name of the plugin, with tag and digest.
func (s *session) name() string { return s.request.Reference.String() }

// pluginScope is the right that a token has to give. Registries that know
// plugins keep them apart from images of the same name.
func (s *session) pluginScope() string {
	return fmt.Sprintf("repository(plugin):%s:%s", reference.Path(s.request.Reference), s.actions)
}
