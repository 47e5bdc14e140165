// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// InitEmptySettings sets the settings to the values of the config: its mounts,
// devices and args, and NAME=value for each variable of the environment that
// has a value. Earlier settings are discarded. Settings and config share no
// memory.
func (p *Plugin) InitEmptySettings() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.PluginObj.Settings = initialSettings(p.PluginObj.Config)
}

// initialSettings leaves no list nil, as the Engine API shows them as arrays.
func initialSettings(config types.PluginConfig) types.PluginSettings {
	config = cloneConfig(config)
	settings := types.PluginSettings{
		Mounts:  append([]types.PluginMount{}, config.Mounts...),
		Devices: append([]types.PluginDevice{}, config.Linux.Devices...),
		Args:    append([]string{}, config.Args.Value...),
		Env:     make([]string, 0, len(config.Env)),
	}
	for _, env := range config.Env {
		if env.Value != nil {
			settings.Env = append(settings.Env, env.Name+"="+*env.Value)
		}
	}
	return settings
}

// The functions below edit settings that are not published yet.

// setEnv sets one variable and removes its other entries.
func setEnv(settings *types.PluginSettings, name, value string) {
	isNamed := func(entry string) bool { return strings.HasPrefix(entry, name+"=") }
	at := slices.IndexFunc(settings.Env, isNamed)
	if at < 0 {
		settings.Env = append(settings.Env, name+"="+value)
		return
	}
	settings.Env[at] = name + "=" + value
	others := slices.DeleteFunc(settings.Env[at+1:], isNamed)
	settings.Env = settings.Env[:at+1+len(others)]
}

// setMountSource sets the source of the mount that the config describes as
// mount, and adds the mount if settings lack it.
func setMountSource(settings *types.PluginSettings, mount types.PluginMount, source string) {
	at := slices.IndexFunc(settings.Mounts, func(m types.PluginMount) bool { return m.Name == mount.Name })
	if at < 0 {
		at = len(settings.Mounts)
		settings.Mounts = append(settings.Mounts, cloneMount(mount))
	}
	settings.Mounts[at].Source = &source
}

// setDevicePath is setMountSource for devices.
func setDevicePath(settings *types.PluginSettings, device types.PluginDevice, path string) {
	at := slices.IndexFunc(settings.Devices, func(d types.PluginDevice) bool { return d.Name == device.Name })
	if at < 0 {
		at = len(settings.Devices)
		settings.Devices = append(settings.Devices, cloneDevice(device))
	}
	settings.Devices[at].Path = &path
}
