package v2

import (
	"errors"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/plaintext"
	"github.com/dovetailhq/plugin/internal/plaintext/plaintexttest"
)

// TestShownTextIsPlain puts control characters where users are shown it.
func TestShownTextIsPlain(t *testing.T) {
	hostile := plaintexttest.Hostile
	for _, tc := range []struct {
		field string
		spoil func(*types.PluginConfig)
	}{
		{"network.type", func(c *types.PluginConfig) { c.Network.Type = hostile }},
		{"mounts[0].name", func(c *types.PluginConfig) { c.Mounts[0].Name = hostile }},
		{"mounts[0].source", func(c *types.PluginConfig) { c.Mounts[0].Source = &hostile }},
		{"mounts[0].destination", func(c *types.PluginConfig) { c.Mounts[0].Destination = "/" + hostile }},
		{"mounts[0].type", func(c *types.PluginConfig) { c.Mounts[0].Type = hostile }},
		{"mounts[0].options", func(c *types.PluginConfig) { c.Mounts[0].Options = []string{hostile} }},
		{"linux.devices[0].name", func(c *types.PluginConfig) { c.Linux.Devices[0].Name = hostile }},
		{"linux.devices[0].path", func(c *types.PluginConfig) { c.Linux.Devices[0].Path = &hostile }},
		{"linux.capabilities[0]", func(c *types.PluginConfig) { c.Linux.Capabilities = []string{hostile} }},
		{"description", func(c *types.PluginConfig) { c.Description = hostile }},
	} {
		t.Run(tc.field, func(t *testing.T) {
			source, device := "/data", "/dev/fuse"
			config := types.PluginConfig{
				Description: "Geräte:\n\tплагин 插件",
				Entrypoint:  []string{"/plugin"},
				Interface:   types.PluginConfigInterface{Socket: "plugin.sock"},
				Mounts:      []types.PluginMount{{Name: "daten-ü", Type: "bind", Source: &source, Destination: "/δ", Options: []string{"rbind"}}},
				Linux:       types.PluginConfigLinux{Devices: []types.PluginDevice{{Path: &device}}},
			}
			assert.NilError(t, ValidateConfig(config))
			tc.spoil(&config)
			err := ValidateConfig(config)
			assert.Check(t, is.ErrorContains(err, tc.field+" "))
			assert.Check(t, is.ErrorContains(err, "has control characters: users are shown it"))
			assert.Check(t, plaintext.Is(err.Error()), "%q", err)
			var invalid ErrInvalidConfig
			assert.Check(t, errors.As(err, &invalid))
		})
	}
}
