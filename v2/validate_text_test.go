// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"strings"
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
			assert.Check(t, is.ErrorContains(err, "has control or invisible characters: users are shown it"))
			assert.Check(t, plaintext.Is(err.Error()), "%q", err)
			var invalid *InvalidConfigError
			assert.Check(t, errors.As(err, &invalid))
		})
	}
}

// TestShownTextHasNoRuns puts long runs of white space and of combining marks where
// users decide on a grant, and nowhere else.
func TestShownTextHasNoRuns(t *testing.T) {
	for _, tc := range []struct {
		name, text, want string
	}{
		{"a few spaces", "/srv/my   data" + strings.Repeat(" ", maxBlanks) + "x", ""},
		{"many words", strings.Repeat("a ", 300), ""},
		{"one space more", "/srv" + strings.Repeat(" ", maxBlanks+1), "has more than 4 blanks in a row: users are shown it"},
		{"spaces of other scripts", "/srv\u3000\u00a0\u2003\u202f /x", "has more than 4 blanks in a row"},
		{"letters with marks", "/Vie\u0323\u0302t/e\u0301e\u0301e\u0301e\u0301/ที่นี่/हिन्दी/क़्\u200d/ש\u05bcׁ/1\ufe0f\u20e3/👩\u200d❤\ufe0f\u200d👨", ""},
		{"as many marks as a letter has", "/e" + strings.Repeat("\u0301", maxMarks) + "x", ""},
		{"one mark more", "/e" + strings.Repeat("\u0301", maxMarks+1) + "x", "has more than 3 combining marks in a row: users are shown it"},
		{"marks of several kinds", "/e\u0301\u20dd\u0483\u0591", "has more than 3 combining marks in a row"},
		{"marks and joiners", "/e" + strings.Repeat("\u0301\u200d", maxMarks) + "x", "has more than 3 combining marks in a row"},
		{"marks and variation selectors", "/e" + strings.Repeat("\u0301\ufe0f", maxMarks) + "x", "has more than 3 combining marks in a row"},
		{"a soft hyphen", "/s\u00adrv", "has control or invisible characters"},
		{"a filler", "/s\u3164rv", "has control or invisible characters"},
		{"a blank of Braille", "/s\u2800rv", "has control or invisible characters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for field, config := range map[string]types.PluginConfig{
				"mounts[0].source":      {Mounts: []types.PluginMount{{Type: "bind", Source: &tc.text, Destination: "/x"}}},
				"mounts[0].name":        {Mounts: []types.PluginMount{{Type: "bind", Name: tc.text, Destination: "/x"}}},
				"linux.devices[0].path": {Linux: types.PluginConfigLinux{Devices: []types.PluginDevice{{Path: &tc.text}}}},
				"linux.devices[0].name": {Linux: types.PluginConfigLinux{Devices: []types.PluginDevice{{Name: tc.text}}}},
			} {
				var v validator
				v.shown(config)
				if tc.want == "" {
					assert.Check(t, v.err(), field)
				} else {
					assert.Check(t, is.ErrorContains(v.err(), field+" "))
					assert.Check(t, is.ErrorContains(v.err(), tc.want))
				}
			}
		})
	}
	var v validator
	v.shown(types.PluginConfig{Description: "a col\u00adumn      of a table e\u0301\u0301\u0301\u0301"})
	assert.NilError(t, v.err())
}
