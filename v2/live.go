package v2

import (
	"net"
	"sync"
	"time"

	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// liveState is what a plugin has only as long as the daemon lives. A plugin and
// its clones share one, which is why it has a lock of its own; it is taken
// after Plugin.mu, never before.
type liveState struct {
	mu         sync.Mutex
	references int
	forgotten  int // references whose release is still to come, if ever
	client     *plugins.Client
	addr       net.Addr
	timeout    time.Duration
	modifySpec func(*specs.Spec)
	writable   func() []string
	looks      int // calls of ScopedPath that wait for a file system
}

// liveState returns the runtime state, which the first caller makes.
func (p *Plugin) liveState() *liveState {
	if r := p.live.Load(); r != nil {
		return r
	}
	p.live.CompareAndSwap(nil, &liveState{})
	return p.live.Load()
}

// addReferences never lets the count go below zero: a release too many, from a
// user whose plugin was forcibly disabled meanwhile, must not eat the
// reference of the next one.
//
// A release does not name its holder. While forgotten references are out, it is
// taken for one of theirs: the count can then be too high for a time, and never
// too low for a plugin that is in use.
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

// ForgetReferences makes the number of references zero. It is for a plugin that
// is enabled after a forced disable: the holders of that time may never release
// it. As many releases are ignored if they come at last.
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

// SetTimeout sets what Timeout returns. It is written to the record as well,
// so that the next daemon calls the plugin with the same patience.
func (p *Plugin) SetTimeout(timeout time.Duration) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timeout = timeout
}

// SetSpecOptModifier sets what InitSpec calls last with the spec it made; nil
// for nothing. The function is called with no lock held.
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

// SetOthersWritable sets what InitSpec calls for the directories that other
// plugins can write to, see [Plugin.WritableDirectories]; nil for none. The
// function is called with no lock held.
func (p *Plugin) SetOthersWritable(directories func() []string) {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writable = directories
}

func (p *Plugin) othersWritable() func() []string {
	r := p.liveState()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writable == nil {
		return func() []string { return nil }
	}
	return r.writable
}
