// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"testing"

	"github.com/docker/docker/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testworld"
)

// heldResolver answers once it is released.
type heldResolver struct {
	testworld.PlainHTTP
	asked   chan struct{} // has room for all look-ups of a test
	release chan struct{}
}

func (h heldResolver) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	h.asked <- struct{}{}
	<-h.release
	return h.PlainHTTP.LookupPullEndpoints(host)
}

// TestResolverThatHangs ends an upgrade by its context while the registry
// service hangs. The plugin is free for other verbs at once.
func TestResolverThatHangs(t *testing.T) {
	f := unstarted(t)
	assert.NilError(t, f.boot())
	assert.NilError(t, f.pullVersion("v1"))
	granted := f.privileges()
	f.Shutdown()
	held := heldResolver{asked: make(chan struct{}, 10), release: make(chan struct{})}
	defer close(held.release)
	f.Config.RegistryService = held
	assert.NilError(t, f.boot())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Upgrade(ctx, testworld.Named(t, f.repository+"v2"), "p", nil, nil, granted, nil) }()
	<-held.asked
	cancel()
	err := <-done
	assert.Check(t, errors.Is(err, context.Canceled), "%v", err)
	assert.NilError(t, f.Remove("p", nil))
}
