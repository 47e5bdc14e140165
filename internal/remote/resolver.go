package remote

import (
	"context"
	"fmt"

	"github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// EndpointResolver tells where a registry's repositories are. The registry
// service of docker implements it.
type EndpointResolver interface {
	LookupPullEndpoints(hostname string) ([]registry.APIEndpoint, error)
}

// resolveHost asks the resolver, which is code of the daemon: it can hang, so it
// is waited for no longer than ctx and IdleTimeout, and a panic is an error. A
// call that hangs keeps its goroutine until it returns.
func (o Options) resolveHost(ctx context.Context, host string) ([]registry.APIEndpoint, error) {
	hung := &ResolverError{Host: host, Why: fmt.Sprintf("no answer for %s", o.IdleTimeout)}
	ctx, cancel := context.WithTimeoutCause(ctx, o.IdleTimeout, hung)
	defer cancel()
	type answer struct {
		endpoints []registry.APIEndpoint
		err       error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if value := recover(); value != nil {
				a.err = &ResolverError{Host: host, Why: fmt.Sprintf("panic: %v", value)}
			}
			answers <- a
		}()
		a.endpoints, a.err = o.Endpoints.LookupPullEndpoints(host)
	}()
	select {
	case a := <-answers:
		return a.endpoints, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ResolverError reports an [EndpointResolver] that did not return, or panicked.
// Class System.
type ResolverError struct {
	Host string // that was asked for
	Why  string
}

func (e *ResolverError) Error() string {
	return plaintext.Sprintf("registry service failed for %s: %s", e.Host, e.Why)
}

// System marks the error's class.
func (*ResolverError) System() {}
