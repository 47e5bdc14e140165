// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

func TestParseConfigReadsInterfaceTypes(t *testing.T) {
	tests := []struct {
		name string
		json string
		want []types.PluginInterfaceType
	}{
		{"usual", `["docker.volumedriver/1.0"]`, []types.PluginInterfaceType{{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}}},
		{"two", `["a.b/1","c.d/2"]`, []types.PluginInterfaceType{{Prefix: "a", Capability: "b", Version: "1"}, {Prefix: "c", Capability: "d", Version: "2"}}},
		{"dots in the prefix", `["org.example.b/1"]`, []types.PluginInterfaceType{{Prefix: "org.example", Capability: "b", Version: "1"}}},
		{"no version", `["docker.volumedriver"]`, []types.PluginInterfaceType{{Prefix: "docker", Capability: "volumedriver"}}},
		{"no prefix", `["volumedriver/1.0"]`, []types.PluginInterfaceType{{Capability: "volumedriver", Version: "1.0"}}},
		{"version only", `["/1.0"]`, []types.PluginInterfaceType{{Version: "1.0"}}},
		{"empty", `[""]`, []types.PluginInterfaceType{{}}},
		{"escape", `["docker.\u0061b/\""]`, []types.PluginInterfaceType{{Prefix: "docker", Capability: "ab", Version: `"`}}},
		{"none", `[]`, []types.PluginInterfaceType{}},
		{"null", `null`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, err := ParseConfig([]byte(`{"interface":{"socket":"a.sock","types":` + tt.json + `}}`))
			assert.NilError(t, err)
			assert.Equal(t, config.Interface.Socket, "a.sock")
			assert.DeepEqual(t, config.Interface.Types, tt.want)
		})
	}
}

func TestParseConfigReadsWhatDockerWrites(t *testing.T) {
	p := new(Plugin)
	assert.NilError(t, json.Unmarshal(encode(example()), p))
	want := example().PluginObj.Config

	config, err := ParseConfig(encode(&want))
	assert.NilError(t, err)
	assert.DeepEqual(t, config, want)
	assert.DeepEqual(t, p.PluginObj.Config, want)
}

func TestParseConfigRefuses(t *testing.T) {
	for data, want := range map[string]string{
		``:                                "unexpected end of JSON input",
		`[]`:                              "a JSON array is not of type",
		`{`:                               "unexpected end of JSON input",
		`{"entrypoint":"/bin/sh"}`:        "entrypoint: a JSON string is not of type []string",
		`{"interface":{"socket":7}}`:      "interface.socket: a JSON number is not of type string",
		`{"linux":{"devices":{}}}`:        "linux.devices: a JSON object is not of type",
		`{"interface":{"types":[1]}}`:     "a JSON number is not of type string",
		`{"interface":{"types":"a.b/1"}}`: "interface.types: a JSON string is not of type",
	} {
		t.Run(data, func(t *testing.T) {
			_, err := ParseConfig([]byte(data))
			assert.ErrorType(t, err, &InvalidConfigError{})
			assert.Check(t, is.ErrorContains(err, want))
		})
	}
}
