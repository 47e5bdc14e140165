package plugin

import (
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/progress"

	v2 "github.com/dovetailhq/plugin/v2"
)

// warn shows what of a config is ignored, or taken for something else: in the
// daemon's log, and in the progress of the verb that installs the plugin.
func (pm *Manager) warn(name string, config types.PluginConfig, out progress.Output) {
	for _, warning := range v2.ConfigWarnings(config) {
		progress.Message(out, "", "Warning: "+warning)
		pm.logger().WithField("name", name).Warn("plugin config: " + warning)
	}
}
