// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// TestCommonRefusals: the errors about a plugin in the wrong state begin with
// docker's texts, and are of class Conflict.
func TestCommonRefusals(t *testing.T) {
	w := newWorld(t).start()
	w.Create("off")
	w.Create("on")
	w.Create("used", "docker.volumedriver/1.0")
	w.MustEnable("on")
	w.MustEnable("used")
	_, err := w.Config.Store.Get("used", "VolumeDriver", plugingetter.Acquire)
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
			assert.Check(t, errdefs.IsConflict(err))
		})
	}
}

// TestCreateRecordsTheDaemonsVersion, whatever version the build context names.
func TestCreateRecordsTheDaemonsVersion(t *testing.T) {
	w := newWorld(t).start()
	w.Create("one")
	p, err := w.Inspect("one")
	assert.NilError(t, err)
	assert.Equal(t, p.Config.DockerVersion, dockerversion.Version)
}
