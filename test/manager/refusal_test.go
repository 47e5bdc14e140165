//go:build linux

package plugin_test

import (
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestCommonRefusals: what people see of a plugin that is in the wrong state
// begins as docker says it, and is a conflict.
func TestCommonRefusals(t *testing.T) {
	w := newWorld(t).start()
	w.create("off")
	w.create("on")
	w.create("used", "docker.volumedriver/1.0")
	w.enable("on")
	w.enable("used")
	_, err := w.config.Store.Get("used", "VolumeDriver", plugingetter.Acquire)
	assert.NilError(t, err)
	tests := []struct {
		name string
		verb func() error
		want string
	}{
		{"enable", func() error { return w.Enable("on", &backend.PluginEnableConfig{}) }, "plugin already enabled: plugin on:latest is enabled"},
		{"disable", func() error { return w.Disable("off", &backend.PluginDisableConfig{}) }, "plugin is already disabled: plugin off:latest found but disabled"},
		{"disable by force", func() error { return w.Disable("off", &backend.PluginDisableConfig{ForceDisable: true}) }, "plugin is already disabled: plugin off:latest found but disabled"},
		{"disable in use", func() error { return w.Disable("used", &backend.PluginDisableConfig{}) }, "plugin used:latest is in use"},
		{"set", func() error { return w.Set("on", []string{"A=1"}) }, "cannot set on an active plugin, disable plugin before setting: plugin on:latest is enabled"},
		{"remove", func() error { return w.Remove("on", &backend.PluginRmConfig{}) }, "plugin on:latest is enabled: disable it first, or remove it by force"},
		{"remove in use", func() error { return w.Remove("used", &backend.PluginRmConfig{}) }, "plugin used:latest is in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.verb()
			assert.Check(t, is.Error(err, tt.want))
			assert.Check(t, cerrdefs.IsConflict(err))
		})
	}
}

// TestCreateTellsTheDaemonsVersion: whatever the build context says.
func TestCreateTellsTheDaemonsVersion(t *testing.T) {
	w := newWorld(t).start()
	w.create("one")
	p, err := w.Inspect("one")
	assert.NilError(t, err)
	assert.Equal(t, p.Config.DockerVersion, dockerversion.Version) //nolint:staticcheck // docker 28 still tells it
}
