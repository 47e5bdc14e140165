// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"net"
	"sync"
	"time"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// liveState is the part of a plugin that ends with the daemon. A plugin and its
// clones share one, so it has a separate lock, taken after Plugin.mu and never
// before.
type liveState struct {
	mu         sync.Mutex
	references int
	forgotten  int // references of ForgetReferences that were not released yet
	client     *plugins.Client
	addr       net.Addr
	timeout    time.Duration
	modifySpec func(*specs.Spec)
	exposed    func() Exposed
	looks      int // calls of ScopedPath that wait for a file system
}

// liveState returns the runtime state. The first call makes it.
func (p *Plugin) liveState() *liveState {
	if r := p.live.Load(); r != nil {
		return r
	}
	p.live.CompareAndSwap(nil, &liveState{})
	return p.live.Load()
}

// addReferences never lets the count go below zero: a surplus release, by a user
// of a plugin that was forcibly disabled since, must not take the reference of
// the next user.
//
// A release does not name its holder. While forgotten references remain, a
// release counts as one of these: the count can be too high for a time, but
// never too low for a plugin in use.
func (r *liveState) addReferences(count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if count < 0 {
		late := min(r.forgotten, -count)
		r.forgotten -= late
		count += late
	}
	r.references = max(0, r.references+count)
}

// Acquire adds a reference, whether or not the plugin is enabled. See
// [Plugin.Use] for a reference that only an enabled plugin grants.
func (p *Plugin) Acquire() {
	p.AddRefCount(plugingetter.Acquire)
}

// Release drops a reference. Without one it does nothing.
func (p *Plugin) Release() {
	p.AddRefCount(plugingetter.Release)
}

// AddRefCount adds count, which may be negative, to the reference count. The
// count does not go below zero.
func (p *Plugin) AddRefCount(count int) {
	p.liveState().addReferences(count)
}

// ForgetReferences sets the number of references to zero. Call it when a plugin
// is enabled after a forced disable: its earlier holders may never release it.
// The same number of later releases is ignored.
func (p *Plugin) ForgetReferences() {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten += r.references
	r.references = 0
}

// GetRefCount returns the number of references.
func (p *Plugin) GetRefCount() int {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.references
}

// Client returns the client of the running plugin, nil before the first
// SetPClient.
func (p *Plugin) Client() *plugins.Client {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

// SetPClient sets what Client returns.
func (p *Plugin) SetPClient(client *plugins.Client) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client = client
}

// Addr returns the address of the plugin's socket, nil before the first
// SetAddr.
func (p *Plugin) Addr() net.Addr {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addr
}

// SetAddr sets what Addr returns.
func (p *Plugin) SetAddr(addr net.Addr) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr = addr
}

// Timeout returns how long a call to the plugin may take. Zero means that none
// was set.
func (p *Plugin) Timeout() time.Duration {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.timeout
}

// SetTimeout sets what Timeout returns. The record keeps it, so that the next
// daemon calls the plugin with the same timeout.
func (p *Plugin) SetTimeout(timeout time.Duration) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timeout = timeout
}

// SetSpecOptModifier sets the function that InitSpec calls with the spec that it
// made; nil for none. The function is called with no lock held.
func (p *Plugin) SetSpecOptModifier(modify func(*specs.Spec)) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.modifySpec = modify
}

func (p *Plugin) specModifier() func(*specs.Spec) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.modifySpec
}
