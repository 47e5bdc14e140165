// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"slices"
	"sync"
	"time"
)

// maxTokens bounds the tokens that an operation keeps, of up to maxTokenBytes
// each. A registry can ask for any number of them.
const maxTokens = 16

// token is a bearer token for some scopes.
type token struct {
	value   string
	expires time.Time // zero if not known
}

func (t token) isGood() bool {
	return t.value != "" && (t.expires.IsZero() || time.Now().Before(t.expires))
}

// tokenCache holds the last accepted tokens by their scopes. The zero value is
// empty. It is safe for concurrent use.
type tokenCache struct {
	mu  sync.Mutex
	all []cachedToken // the newest last
}

type cachedToken struct {
	scopes string
	token  token
}

func (c *tokenCache) get(scopes string) (token, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cached := range c.all {
		if cached.scopes == scopes {
			return cached.token, true
		}
	}
	return token{}, false
}

// put replaces the token of the same scopes, or else the oldest of maxTokens.
func (c *tokenCache) put(scopes string, t token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(cached cachedToken) bool { return cached.scopes == scopes })
	c.all = lastOf(append(c.all, cachedToken{scopes, t}))
}

// drop removes a token, unless another has replaced it.
func (c *tokenCache) drop(scopes string, t token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(cached cachedToken) bool { return cached == cachedToken{scopes, t} })
}

// recentTokens holds the last tokens that were received or sent. The zero value
// is empty. It is safe for concurrent use.
type recentTokens struct {
	mu  sync.Mutex
	all []string // the newest last
}

// note makes a token the newest. An empty value is ignored.
func (r *recentTokens) note(value string) {
	if value == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(known string) bool { return known == value })
	r.all = lastOf(append(r.all, value))
}

func (r *recentTokens) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// lastOf returns the last maxTokens of a list, and keeps nothing of the rest.
func lastOf[T any](all []T) []T {
	return slices.Delete(all, 0, max(len(all)-maxTokens, 0))
}
