// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"sync"
)

// Claims are keys in use, each with a note of its owner. The zero value has none
// and is ready. It is safe for concurrent use.
type Claims[K comparable, N any] struct {
	mu     sync.Mutex
	active map[K]Claim[N]
}

// Claim is the use of a key.
type Claim[N any] struct {
	Note  N
	ended chan struct{}
}

// Await blocks until the key is released, or returns the cause of the end of ctx.
func (c Claim[N]) Await(ctx context.Context) error {
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Try claims key if it is free, and reports whether it did. Otherwise it returns
// the claim that holds key.
func (c *Claims[K, N]) Try(key K, note N) (other Claim[N], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, taken := c.active[key]; taken {
		return other, false
	}
	if c.active == nil {
		c.active = make(map[K]Claim[N])
	}
	c.active[key] = Claim[N]{Note: note, ended: make(chan struct{})}
	return Claim[N]{}, true
}

// Find returns the claim that holds key, if any.
func (c *Claims[K, N]) Find(key K) (Claim[N], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	claim, ok := c.active[key]
	return claim, ok
}

// Release frees key, which must be claimed.
func (c *Claims[K, N]) Release(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.active[key].ended)
	delete(c.active, key)
}
