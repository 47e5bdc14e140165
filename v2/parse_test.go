// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

func TestParseAssignment(t *testing.T) {
	tests := []struct {
		arg  string
		want assignment
		ok   bool
	}{
		{"A=1", assignment{"A", "1"}, true},
		{"A.b=1", assignment{"A.b", "1"}, true},
		{"A", assignment{"A", ""}, true},
		{"A=", assignment{"A", ""}, true},
		{"A==", assignment{"A", "="}, true},
		{"", assignment{}, false},
		{"=A", assignment{"", "A"}, false},
		{"A=\x00", assignment{"A", "\x00"}, false},
		{"A=\xff", assignment{"A", "\xff"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.arg, func(t *testing.T) {
			got, reason := parseAssignment(tt.arg)
			assert.Equal(t, got, tt.want)
			assert.Equal(t, reason == "", tt.ok, reason)
		})
	}
}

func TestFindAmongTwins(t *testing.T) {
	config := &types.PluginConfig{
		Env: []types.PluginEnv{
			{Name: "data"}, {Name: "both"}, {Name: "twice"}, {Name: "twice"}, {Name: "disk.source"},
		},
		Mounts: []types.PluginMount{{Name: "data"}, {Name: ""}, {Name: "disk"}, {Name: "a.b"}},
		Linux:  types.PluginConfigLinux{Devices: []types.PluginDevice{{Name: "data"}, {Name: ""}}},
		Args:   types.PluginConfigArgs{Name: "both"},
	}
	tests := []struct {
		key    string
		kind   kind
		reason string
	}{
		{"data.value", envKind, ""},
		{"data.source", mountKind, ""},
		{"data.path", deviceKind, ""},
		{"a.b", mountKind, ""},
		{"a.b.source", mountKind, ""},
		{"data", kind{}, "is ambiguous: it can be the value of env variable data or the source of mount data or the path of device data"},
		{"both.value", kind{}, "is ambiguous: it can be the value of env variable both or the value of args both"},
		{"twice", kind{}, "is ambiguous: it can be the value of env variable twice or the value of env variable twice"},
		{"disk.source", kind{}, "is ambiguous: it can be the value of env variable disk.source or the source of mount disk"},
		{".source", kind{}, "is not in the config of this plugin"},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			found, reason := targetsByName(config).find(tt.key)
			assert.Equal(t, reason, tt.reason)
			assert.Equal(t, found.kind, tt.kind)
		})
	}
}
