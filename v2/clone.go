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

// Clone returns a copy of p whose exported fields share no memory with p's, so
// that nothing done to the copy, by method or by hand, changes the record of
// p. What runs is one and the same: reference count, client, address, call
// timeout and spec modifier of both are shared for ever, in both directions.
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
		devicePins:     p.devicePins, // which is replaced, never changed
	}
	clone.live.Store(p.liveState())
	return clone
}

// ReplaceData makes p the version of the plugin that from describes, in one
// step: config, settings, reference and all digests are copied from it. What
// makes p the plugin that it was stays: id, name, wish, rootfs path, swarm
// service and everything at run time. from is not changed and may be p.
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
	p.devicePins = data.devicePins
	p.origin = p.origin.withPluginOf(data.origin)
}

func clonePlugin(p types.Plugin) types.Plugin {
	p.Config = cloneConfig(p.Config)
	p.Settings = cloneSettings(p.Settings)
	return p
}

func cloneConfig(c types.PluginConfig) types.PluginConfig {
	c.Args.Settable = slices.Clone(c.Args.Settable)
	c.Args.Value = slices.Clone(c.Args.Value)
	c.Entrypoint = slices.Clone(c.Entrypoint)
	c.Env = cloneEach(c.Env, cloneEnv)
	c.Interface.Types = slices.Clone(c.Interface.Types)
	c.Linux.Capabilities = slices.Clone(c.Linux.Capabilities)
	c.Linux.Devices = cloneEach(c.Linux.Devices, cloneDevice)
	c.Mounts = cloneEach(c.Mounts, cloneMount)
	if c.Rootfs != nil {
		rootfs := *c.Rootfs
		rootfs.DiffIds = slices.Clone(rootfs.DiffIds)
		c.Rootfs = &rootfs
	}
	return c
}

func cloneSettings(s types.PluginSettings) types.PluginSettings {
	s.Args = slices.Clone(s.Args)
	s.Devices = cloneEach(s.Devices, cloneDevice)
	s.Env = slices.Clone(s.Env)
	s.Mounts = cloneEach(s.Mounts, cloneMount)
	return s
}

func cloneEnv(e types.PluginEnv) types.PluginEnv {
	e.Settable = slices.Clone(e.Settable)
	e.Value = cloneString(e.Value)
	return e
}

func cloneDevice(d types.PluginDevice) types.PluginDevice {
	d.Path = cloneString(d.Path)
	d.Settable = slices.Clone(d.Settable)
	return d
}

func cloneMount(m types.PluginMount) types.PluginMount {
	m.Options = slices.Clone(m.Options)
	m.Settable = slices.Clone(m.Settable)
	m.Source = cloneString(m.Source)
	return m
}

// cloneEach keeps the difference between nil and empty, which JSON shows.
func cloneEach[T any](list []T, clone func(T) T) []T {
	copied := slices.Clone(list)
	for i := range copied {
		copied[i] = clone(copied[i])
	}
	return copied
}

func cloneString(s *string) *string {
	if s == nil {
		return nil
	}
	copied := *s
	return &copied
}
