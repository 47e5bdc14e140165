// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// resolver is a resolver made from a function.
type resolver func() ([]registry.APIEndpoint, error)

func (r resolver) LookupPullEndpoints(string) ([]registry.APIEndpoint, error) { return r() }

// TestResolverHangs waits for a resolver that does not return as long as the
// context allows, and no longer than for a registry.
func TestResolverHangs(t *testing.T) {
	request := Request{Reference: named(t, "registry.test/group/plugin:tag")}
	verbs := map[string]func(ctx context.Context, c *Client) error{
		"resolve": func(ctx context.Context, c *Client) error { _, err := c.Resolve(ctx, request); return err },
		"push":    func(ctx context.Context, c *Client) error { _, err := c.Push(ctx, request, ""); return err },
	}
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				c := New(Options{Endpoints: resolver(func() ([]registry.APIEndpoint, error) {
					<-release
					return nil, nil
				})})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				err := verb(ctx, c)
				assert.Check(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
				assert.Equal(t, time.Since(began), time.Second)

				began = time.Now()
				err = verb(t.Context(), c)
				_, ok := find[*ResolverError](err)
				assert.Check(t, ok && errdefs.IsInternal(err), "%v", err)
				assert.Check(t, is.ErrorContains(err, "registry service failed for registry.test: no answer for 1m0s"))
				assert.Equal(t, time.Since(began), time.Minute)
			})
		})
	}
}

// A resolver that panics, or that there is none of, ends no daemon.
func TestResolverPanics(t *testing.T) {
	request := Request{Reference: named(t, "registry.test/group/plugin:tag")}
	for name, endpoints := range map[string]EndpointResolver{
		"panics": resolver(func() ([]registry.APIEndpoint, error) { panic("in the resolver") }),
		"none":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{Endpoints: endpoints}).Resolve(t.Context(), request)
			_, ok := find[*ResolverError](err)
			assert.Check(t, ok, "%v", err)
			assert.Check(t, is.ErrorContains(err, "panic"))
		})
	}
}
