package v2

import (
	"strings"
)

// FilterByCap returns p if the plugin has capability, which is compared in
// lower case with the interface types docker.CAPABILITY/VERSION of the config.
// The error is of type [ErrInadequateCapability].
func (p *Plugin) FilterByCap(capability string) (*Plugin, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.hasCapabilityLocked(capability) {
		return nil, ErrInadequateCapability{capability: capability}
	}
	return p, nil
}

// Use checks that the plugin is enabled and has capability, and applies mode,
// one of plugingetter's Lookup, Acquire and Release, to the reference count,
// all in one step: a reference is never given to a plugin that is disabled at
// that moment. The error is [ErrDisabled] or [ErrInadequateCapability], and
// then the count is as it was.
//
// On a [Plugin.Clone] the copied data is judged and the shared count changed.
func (p *Plugin) Use(capability string, mode int) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.PluginObj.Enabled {
		return ErrDisabled{Name: p.PluginObj.Name}
	}
	if !p.hasCapabilityLocked(capability) {
		return ErrInadequateCapability{capability: capability}
	}
	p.liveState().addReferences(mode)
	return nil
}

// SetEnabled sets what IsEnabled returns.
func (p *Plugin) SetEnabled(enabled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.PluginObj.Enabled = enabled
}

// DisableUnlessInUse marks the plugin disabled, unless it is referenced and
// force is false; then nothing changes and the error is [ErrInUse]. It is one
// step: after it returns nil no Use of p succeeds until the plugin is enabled
// again, and no reference that Use gave was overlooked. The count stays; see
// [Plugin.ForgetReferences].
func (p *Plugin) DisableUnlessInUse(force bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !force && p.GetRefCount() > 0 {
		return ErrInUse{Name: p.PluginObj.Name}
	}
	p.PluginObj.Enabled = false
	return nil
}

func (p *Plugin) hasCapabilityLocked(capability string) bool {
	interfaces := p.PluginObj.Config.Interface.Types
	for i := range interfaces {
		if interfaces[i].Prefix == "docker" && equalsLowered(capability, interfaces[i].Capability) {
			return true
		}
	}
	return false
}

// equalsLowered reports whether strings.ToLower(s) == lowered. It is on the
// path of every volume and network operation and does not allocate for ASCII.
func equalsLowered(s, lowered string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			return strings.ToLower(s) == lowered
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i >= len(lowered) || c != lowered[i] {
			return false
		}
	}
	return len(s) == len(lowered)
}
