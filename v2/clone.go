// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"

	"github.com/docker/docker/api/types"
)

// Snapshot returns a copy of PluginObj that shares no memory with p.
func (p *Plugin) Snapshot() types.Plugin {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return clonePlugin(p.PluginObj)
}

// Snapshots returns copies of PluginObj of those plugins that match, in their
// order. The copies share no memory with the plugins; a change of one shows in no
// other, but a copy that is kept also keeps the memory of its neighbours. A
// plugin is locked while match looks at its record, which match neither changes
// nor keeps.
func Snapshots(plugins []*Plugin, match func(*types.Plugin) bool) []types.Plugin {
	list := make([]types.Plugin, 0, len(plugins))
	var c cloner
	for i, p := range plugins {
		p.mu.RLock()
		if match(&p.PluginObj) {
			c.ahead = len(plugins) - i
			list = append(list, p.PluginObj)
			c.plugin(&list[len(list)-1])
		}
		p.mu.RUnlock()
	}
	return list
}

// Clone returns a copy of p. The exported fields share no memory with p's, so
// no change to the copy, by method or by assignment, changes the record of p.
// Both share their runtime state for ever: a change of reference count, client,
// address, call timeout or spec modifier shows in the other.
func (p *Plugin) Clone() *Plugin {
	p.mu.RLock()
	defer p.mu.RUnlock()
	clone := &Plugin{
		PluginObj:      clonePlugin(p.PluginObj),
		Rootfs:         p.Rootfs,
		Config:         p.Config,
		Blobsums:       slices.Clone(p.Blobsums),
		Manifest:       p.Manifest,
		SwarmServiceID: p.SwarmServiceID,
		origin:         p.origin,
		devicePins:     p.devicePins, // maps of pins are replaced, never changed
		sourcePins:     p.sourcePins,
	}
	clone.live.Store(p.liveState())
	return clone
}

// ReplaceData makes p the version of the plugin that from describes, in one
// step: it copies config, settings, reference and all digests. p keeps its
// identity: ID, name, desired state, rootfs path, swarm service and runtime
// state. from is not changed and may be p.
func (p *Plugin) ReplaceData(from *Plugin) {
	data := from.Clone()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.PluginObj.Config = data.PluginObj.Config
	p.PluginObj.Settings = data.PluginObj.Settings
	p.PluginObj.PluginReference = data.PluginObj.PluginReference
	p.Config = data.Config
	p.Blobsums = data.Blobsums
	p.Manifest = data.Manifest
	p.devicePins, p.sourcePins = data.devicePins, data.sourcePins
	p.origin = p.origin.withPluginOf(data.origin)
}

func clonePlugin(p types.Plugin) types.Plugin {
	var c cloner
	c.plugin(&p)
	return p
}

func cloneConfig(config types.PluginConfig) types.PluginConfig {
	var c cloner
	c.config(&config)
	return config
}

func cloneSettings(settings types.PluginSettings) types.PluginSettings {
	var c cloner
	c.settings(&settings)
	return settings
}

func cloneDevice(device types.PluginDevice) types.PluginDevice {
	var c cloner
	c.device(&device)
	return device
}

func cloneMount(mount types.PluginMount) types.PluginMount {
	var c cloner
	c.mount(&mount)
	return mount
}

// cloner gives values that were copied by assignment memory of their own. A list
// of plugins is cloned with few allocations, because it allocates for those that
// follow as well.
type cloner struct {
	ahead int // plugins that are still to be cloned, this one included

	strings arena[string]
	types   arena[types.PluginInterfaceType]
	envs    arena[types.PluginEnv]
	devices arena[types.PluginDevice]
	mounts  arena[types.PluginMount]
}

func (c *cloner) plugin(p *types.Plugin) {
	c.config(&p.Config)
	c.settings(&p.Settings)
}

func (c *cloner) config(config *types.PluginConfig) {
	c.list(&config.Args.Settable)
	c.list(&config.Args.Value)
	c.list(&config.Entrypoint)
	config.Env = c.envs.clone(config.Env, c.ahead)
	for i := range config.Env {
		c.list(&config.Env[i].Settable)
		c.optional(&config.Env[i].Value)
	}
	config.Interface.Types = c.types.clone(config.Interface.Types, c.ahead)
	c.list(&config.Linux.Capabilities)
	c.deviceList(&config.Linux.Devices)
	c.mountList(&config.Mounts)
	if config.Rootfs != nil {
		rootfs := *config.Rootfs
		c.list(&rootfs.DiffIds)
		config.Rootfs = &rootfs
	}
}

func (c *cloner) settings(settings *types.PluginSettings) {
	c.list(&settings.Args)
	c.deviceList(&settings.Devices)
	c.list(&settings.Env)
	c.mountList(&settings.Mounts)
}

func (c *cloner) deviceList(list *[]types.PluginDevice) {
	*list = c.devices.clone(*list, c.ahead)
	for i := range *list {
		c.device(&(*list)[i])
	}
}

func (c *cloner) device(device *types.PluginDevice) {
	c.optional(&device.Path)
	c.list(&device.Settable)
}

func (c *cloner) mountList(list *[]types.PluginMount) {
	*list = c.mounts.clone(*list, c.ahead)
	for i := range *list {
		c.mount(&(*list)[i])
	}
}

func (c *cloner) mount(mount *types.PluginMount) {
	c.list(&mount.Options)
	c.list(&mount.Settable)
	c.optional(&mount.Source)
}

func (c *cloner) list(list *[]string) {
	*list = c.strings.clone(*list, c.ahead)
}

func (c *cloner) optional(text **string) {
	if *text != nil {
		copied := **text
		*text = &copied
	}
}

// arena allocates the lists of several plugins together.
type arena[T any] struct{ free []T }

// maxAhead bounds the elements that are allocated for other plugins, and so what a
// copy that is kept keeps of its neighbours.
const maxAhead = 512

// clone returns a copy of list, whose capacity ends with it. It keeps the
// difference between nil and empty, which JSON shows.
func (a *arena[T]) clone(list []T, ahead int) []T {
	switch {
	case list == nil:
		return nil
	case len(list) == 0:
		return []T{}
	}
	if len(list) > len(a.free) {
		a.free = make([]T, max(len(list), min(len(list)*ahead, maxAhead)))
	}
	copied := a.free[:len(list):len(list)]
	a.free = a.free[len(list):]
	copy(copied, list)
	return copied
}
