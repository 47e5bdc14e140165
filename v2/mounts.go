// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path"
	"slices"

	"github.com/docker/docker/api/types"
)

// MountsInPropagatedMount returns the paths on the host of the mounts of the
// plugin's config and settings that are at or below its propagated mount.
func (p *Plugin) MountsInPropagatedMount() []string {
	view := p.Snapshot()
	propagated := path.Join("/", view.Config.PropagatedMount)
	if propagated == "/" {
		return nil
	}
	var places []string
	for _, mount := range effectiveMounts(&view) {
		destination := path.Join("/", mount.Destination)
		if _, ok := below(destination, propagated); ok {
			places = append(places, p.ScopedPath(destination))
		}
	}
	return places
}

// effectiveMounts returns the mounts of the config, each replaced by its
// counterpart in the settings, and then the mounts that only the settings have.
func effectiveMounts(plugin *types.Plugin) []types.PluginMount {
	rest := slices.Clone(plugin.Settings.Mounts)
	take := func(match func(types.PluginMount) bool) (types.PluginMount, bool) {
		at := slices.IndexFunc(rest, match)
		if at < 0 {
			return types.PluginMount{}, false
		}
		mount := rest[at]
		rest = slices.Delete(rest, at, at+1)
		return mount, true
	}
	var mounts []types.PluginMount
	for _, mount := range plugin.Config.Mounts {
		set, ok := take(func(m types.PluginMount) bool {
			return m.Name == mount.Name && path.Join("/", m.Destination) == path.Join("/", mount.Destination)
		})
		if !ok && mount.Name != "" {
			set, ok = take(func(m types.PluginMount) bool { return m.Name == mount.Name })
		}
		if ok {
			mount = set
		}
		mounts = append(mounts, mount)
	}
	return append(mounts, rest...)
}

// isUnset reports whether m is a bind without a source, which its user may never
// set: vieux/sshfs has one for ssh keys.
func isUnset(m types.PluginMount) bool {
	return bindsFiles(m) && m.Source != nil && *m.Source == ""
}
