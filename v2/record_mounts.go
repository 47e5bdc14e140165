// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"

	"github.com/docker/docker/api/types"
)

// Docker's manager runs a plugin with the mounts of its config; its Set writes
// to the config. So that docker runs what was set here, the config in a record
// has the sources of the settings. The record keeps the config's original
// sources separately, in a member that docker ignores. For devices docker reads
// the settings.

// asDockerReads returns the plugin to record, which shares memory with plugin,
// and the original sources of its config's mounts, or nil if none was changed.
func asDockerReads(plugin types.Plugin) (recorded types.Plugin, own []*string) {
	mounts := slices.Clone(plugin.Config.Mounts)
	changed := false
	for i, mount := range plugin.Config.Mounts {
		own = append(own, mount.Source)
		isSame := func(m types.PluginMount) bool { return m.Name == mount.Name && m.Destination == mount.Destination }
		set := slices.IndexFunc(plugin.Settings.Mounts, isSame)
		if set < 0 || !slices.Contains(mount.Settable, mountKind.field) {
			continue
		}
		if source := plugin.Settings.Mounts[set].Source; !sameSource(source, mount.Source) {
			mounts[i].Source, changed = source, true
		}
	}
	if !changed {
		return plugin, nil
	}
	plugin.Config.Mounts = mounts
	return plugin, own
}

// takeBack restores the original sources in a recorded config, unless their
// number shows that they belong to another config.
func takeBack(config *types.PluginConfig, own []*string) {
	if len(own) != len(config.Mounts) {
		return
	}
	for i := range own {
		config.Mounts[i].Source = own[i]
	}
}

func sameSource(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
