// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"strings"
)

// FilterByCap returns p if the plugin has capability. It compares capability in
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
// one of plugingetter's Lookup, Acquire and Release, to the reference count, in
// one step: a plugin that is disabled at that time gets no reference. The error
// is [DisabledError] or [ErrInadequateCapability]; then the count has not changed.
//
// On a [Plugin.Clone], Use checks the copied data and changes the shared count.
func (p *Plugin) Use(capability string, mode int) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.PluginObj.Enabled {
		return &DisabledError{Name: p.PluginObj.Name}
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

// DisableUnlessInUse marks the plugin disabled. If it is referenced and force is
// false, nothing changes and the error is [InUseError]. Check and change are one
// step: after DisableUnlessInUse returns nil, no Use of p succeeds until the
// plugin is enabled again. The count does not change; see
// [Plugin.ForgetReferences].
func (p *Plugin) DisableUnlessInUse(force bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !force && p.GetRefCount() > 0 {
		return &InUseError{Name: p.PluginObj.Name}
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
