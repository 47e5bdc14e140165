package plugin

import (
	"strings"

	"github.com/docker/docker/api/types"

	v2 "github.com/dovetailhq/plugin/v2"
)

// newBrokenUnit keeps a plugin whose record can't be read: not in the Store,
// so that nobody uses it, but among the units, so that it can be removed.
func newBrokenUnit(pm *Manager, id string, reason error) {
	pm.register(newUnit(pm, &v2.Plugin{
		PluginObj: types.Plugin{
			ID:     id,
			Name:   id,
			Config: types.PluginConfig{Description: "broken: " + reason.Error()},
		},
	}, reason))
}

// brokenUnit finds a broken plugin by its id or a prefix that no other plugin
// shares; notFound is why the reference names no other plugin.
func (pm *Manager) brokenUnit(ref string, notFound error) (*unit, error) {
	var found *unit
	for _, u := range pm.brokenUnits() {
		if ref == "" || !strings.HasPrefix(u.plugin.GetID(), ref) {
			continue
		}
		if found != nil {
			return nil, &AmbiguousError{Ref: ref}
		}
		found = u
	}
	if found == nil {
		return nil, notFound
	}
	return found, nil
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
