package plugin

import (
	"github.com/docker/docker/api/types"

	v2 "github.com/dovetailhq/plugin/v2"
)

// newBrokenUnit makes the unit of a plugin whose record can't be read. The
// Store knows only its id, so that nothing uses it and everything can name it.
func newBrokenUnit(pm *Manager, id string, reason error) *unit {
	return newUnit(pm, &v2.Plugin{
		PluginObj: types.Plugin{
			ID:     id,
			Name:   id,
			Config: types.PluginConfig{Description: "broken: " + reason.Error()},
		},
	}, reason)
}

func (pm *Manager) brokenUnits() []*unit {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	var all []*unit
	for _, u := range pm.units {
		if u.broken != nil {
			all = append(all, u)
		}
	}
	return all
}

// brokenPlugins returns what stands for the broken ones.
func (pm *Manager) brokenPlugins() []*v2.Plugin {
	var all []*v2.Plugin
	for _, u := range pm.brokenUnits() {
		all = append(all, u.plugin)
	}
	return all
}
