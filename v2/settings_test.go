// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

func TestInitEmptySettings(t *testing.T) {
	p := example()
	config := &p.PluginObj.Config
	p.PluginObj.Settings = types.PluginSettings{Env: []string{"LEFT=over"}}
	p.InitEmptySettings()
	assert.DeepEqual(t, p.PluginObj.Settings, types.PluginSettings{
		Mounts:  config.Mounts,
		Devices: config.Linux.Devices,
		Env:     []string{"DEBUG=0", "LOGGING=1"},
		Args:    []string{"--verbose", "--fast"},
	})
}

func TestInitEmptySettingsSharesNothing(t *testing.T) {
	p := example()
	config, settings := types.Plugin{Config: p.PluginObj.Config}, types.Plugin{Settings: p.PluginObj.Settings}
	assertNoSharedMemory(t, config, settings)
}

func TestInitEmptySettingsOfAnEmptyConfig(t *testing.T) {
	p := new(Plugin)
	p.InitEmptySettings()
	assert.Equal(t, string(encode(p.PluginObj.Settings)), `{"Args":[],"Devices":[],"Env":[],"Mounts":[]}`)
}

func TestSetEnv(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want []string
	}{
		{"none", nil, []string{"A=1"}},
		{"another", []string{"AB=0"}, []string{"AB=0", "A=1"}},
		{"in place", []string{"A=0", "B=0"}, []string{"A=1", "B=0"}},
		{"twice", []string{"X=0", "A=0", "B=0", "A=2", "C=0"}, []string{"X=0", "A=1", "B=0", "C=0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := types.PluginSettings{Env: tt.env}
			setEnv(&settings, "A", "1")
			assert.DeepEqual(t, settings.Env, tt.want)
		})
	}
}

func TestSetAddsWhatSettingsLack(t *testing.T) {
	p := example()
	p.PluginObj.Settings = types.PluginSettings{}
	assert.NilError(t, p.Set([]string{"state=/a", "fuse=/dev/b", "TOKEN=c"}))
	settings := p.PluginObj.Settings
	assert.Equal(t, *settings.Mounts[0].Source, "/a")
	assert.Equal(t, settings.Mounts[0].Destination, "/mnt/state")
	assert.Equal(t, *settings.Devices[0].Path, "/dev/b")
	assert.DeepEqual(t, settings.Env, []string{"TOKEN=c"})
	assert.Equal(t, *p.PluginObj.Config.Mounts[0].Source, "/var/lib/state")
	assert.Equal(t, *p.PluginObj.Config.Linux.Devices[0].Path, "/dev/fuse")
}
