// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugins"
	"github.com/opencontainers/go-digest"
)

// Plugin is one installed plugin: its record and its runtime state. The zero
// value is a disabled plugin without a name. A Plugin must not be copied after
// first use; see [Plugin.Clone].
type Plugin struct {
	// PluginObj is the plugin as the Engine API shows it.
	PluginObj types.Plugin `json:"plugin"`
	// Rootfs is the directory with the plugin's root file system. Its parent
	// is the plugin's directory.
	Rootfs string
	// Config is the digest of the config blob.
	Config digest.Digest
	// Blobsums are the digests of the layer blobs, lowest layer first.
	Blobsums []digest.Digest
	// Manifest is the digest of the manifest blob.
	Manifest digest.Digest
	// SwarmServiceID is the swarm service that owns the plugin; empty for a
	// plugin that a user installed.
	SwarmServiceID string

	mu         sync.RWMutex              // guards the fields above, origin and pins
	devicePins map[string][]string       // by device path, the nodes found there when it was granted; nil if not known
	sourcePins map[string]string         // by mount source, its target when it was granted; nil if not known
	origin     *origin                   // members read from disk that docker's types lack; nil if none
	live       atomic.Pointer[liveState] // shared with clones
	watch      *watch                    // set only in the view that a spec is made from; not cloned
}

// Name returns the name with tag under which the plugin is installed.
func (p *Plugin) Name() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.PluginObj.Name
}

// GetID returns the ID of the plugin.
func (p *Plugin) GetID() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.PluginObj.ID
}

// IsEnabled reports the desired state, which is all that a record holds. The
// manager knows the actual state.
func (p *Plugin) IsEnabled() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.PluginObj.Enabled
}

// IsV1 returns false: a Plugin is never a legacy plugin.
func (p *Plugin) IsV1() bool {
	return false
}

// GetSocket returns the file name of the plugin's socket.
func (p *Plugin) GetSocket() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.PluginObj.Config.Interface.Socket
}

// GetTypes returns the interfaces that the plugin implements. The slice is the
// caller's.
func (p *Plugin) GetTypes() []types.PluginInterfaceType {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clone(p.PluginObj.Config.Interface.Types)
}

// Protocol returns the protocol that the plugin speaks on its socket;
// [plugins.ProtocolSchemeHTTPV1] unless its config says otherwise.
func (p *Plugin) Protocol() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if scheme := p.PluginObj.Config.Interface.ProtocolScheme; scheme != "" {
		return scheme
	}
	return plugins.ProtocolSchemeHTTPV1
}
