package v2

import (
	"path"
	"slices"

	"github.com/docker/docker/api/types"
)

// MountsInPropagatedMount returns where the host sees the mounts of the
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

// effectiveMounts returns each mount of the config as the settings have it, if
// they do, and then what only the settings have.
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

// isUnset tells of a bind that waits for its user to say what of the host is
// to be there, and may wait for ever: vieux/sshfs has one for ssh keys.
func isUnset(m types.PluginMount) bool {
	return bindsFiles(m) && m.Source != nil && *m.Source == ""
}
