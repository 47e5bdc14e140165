// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"

	"github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// EndpointResolver returns the endpoints of a registry. The registry service of
// docker implements it.
type EndpointResolver interface {
	LookupPullEndpoints(hostname string) ([]registry.APIEndpoint, error)
}

// resolveHost calls the resolver, which is code of the daemon and can hang or
// panic. It waits until ctx ends, for IdleTimeout at most, and returns a panic as
// an error. A call that hangs keeps its goroutine until it returns.
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
	Host string // the requested host
	Why  string
}

func (e *ResolverError) Error() string {
	return plaintext.Sprintf("registry service failed for %s: %s", e.Host, e.Why)
}

// System marks the error's class.
func (*ResolverError) System() {}
