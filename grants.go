package plugin

import v2 "github.com/dovetailhq/plugin/v2"

// writableByOthers returns the directories of the host that plugins other than p
// can write to.
func (pm *Manager) writableByOthers(p *v2.Plugin) []string {
	var directories []string
	for _, other := range pm.config.Store.all() {
		if other != p {
			directories = append(directories, other.WritableDirectories()...)
		}
	}
	return directories
}
