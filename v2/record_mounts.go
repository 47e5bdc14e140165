package v2

import (
	"slices"

	"github.com/docker/docker/api/types"
)

// Docker's manager runs a plugin with the mounts of its config, into which its
// Set writes. For it to run what was set here, the config of a record has the
// sources that were set, and the record keeps the config's own beside it,
// which docker ignores. For devices docker reads the settings.

// asDockerReads returns the plugin as it is recorded, sharing its memory, and
// the sources of all mounts of its config, or nil if none was changed.
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

// takeBack gives the mounts of a recorded config their own sources, unless
// they are of another config.
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
