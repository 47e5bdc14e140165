// SPDX-License-Identifier: Apache-2.0

package legacyroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"

	v2 "github.com/dovetailhq/plugin/v2"
)

// manifest is a manifest of version 0. The names of JSON members match in any case:
// docker 1.12 writes "ManifestVersion" in the inventory, and its documents show
// "manifestVersion". Members that docker 1.12 did not know are ignored, also those
// that mean something today: no user was asked for their privileges.
type manifest struct {
	ManifestVersion string
	Description     string
	Documentation   string
	Interface       struct {
		Types  []interfaceType
		Socket string
	}
	Entrypoint   []string
	WorkDir      string
	User         types.PluginConfigUser
	Network      types.PluginConfigNetwork
	Capabilities []string
	Mounts       []types.PluginMount
	Devices      []types.PluginDevice
	Env          []types.PluginEnv
	Args         types.PluginConfigArgs
}

// parseManifest returns the config that a manifest describes, if it can be installed.
func parseManifest(data []byte) (types.PluginConfig, error) {
	if len(data) > maxDocumentBytes {
		return types.PluginConfig{}, &sizeError{maxDocumentBytes}
	}
	var m manifest
	if err := decode(data, &m); err != nil {
		return types.PluginConfig{}, err
	}
	if version := m.ManifestVersion; version != "" && !strings.HasPrefix(strings.ToLower(version), "v0") {
		return types.PluginConfig{}, fmt.Errorf("its version is %.100q: want v0", version)
	}
	config := m.config()
	if err := v2.ValidateConfig(config); err != nil {
		return types.PluginConfig{}, err
	}
	return config, nil
}

func (m manifest) config() types.PluginConfig {
	config := types.PluginConfig{
		Description:   m.Description,
		Documentation: m.Documentation,
		Interface:     types.PluginConfigInterface{Socket: m.Interface.Socket},
		Entrypoint:    m.Entrypoint,
		WorkDir:       m.WorkDir,
		User:          m.User,
		Network:       m.Network,
		Linux:         types.PluginConfigLinux{Capabilities: m.Capabilities, Devices: m.Devices},
		Mounts:        m.Mounts,
		Env:           m.Env,
		Args:          m.Args,
	}
	for _, t := range m.Interface.Types {
		config.Interface.Types = append(config.Interface.Types, types.PluginInterfaceType(t))
	}
	return config
}

// interfaceType is written as PREFIX.CAPABILITY/VERSION, or as an object of the three.
type interfaceType types.PluginInterfaceType

// UnmarshalJSON reads both forms. A string is read as in a config.json.
func (t *interfaceType) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		type object interfaceType // without this method
		return json.Unmarshal(data, (*object)(t))
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	qualified, version, _ := strings.Cut(text, "/")
	dot := strings.LastIndexByte(qualified, '.')
	*t = interfaceType{Prefix: qualified[:max(0, dot)], Capability: qualified[dot+1:], Version: version}
	return nil
}

// parseSettings returns the settings of a plugin-config.json. A list that is missing
// or empty stands for the values of the config: docker 1.12 began with a copy of
// them, in which it forgot the arguments and the devices, and could not change it.
func parseSettings(data []byte, config types.PluginConfig) (types.PluginSettings, error) {
	settings := defaults(config)
	if data == nil {
		return settings, nil
	}
	if len(data) > maxDocumentBytes {
		return types.PluginSettings{}, &sizeError{maxDocumentBytes}
	}
	var recorded types.PluginSettings
	if err := decode(data, &recorded); err != nil {
		return types.PluginSettings{}, err
	}
	for _, length := range []int{len(recorded.Mounts), len(recorded.Env), len(recorded.Args), len(recorded.Devices)} {
		if length > maxSettings {
			return types.PluginSettings{}, fmt.Errorf("a list has %d entries, more than %d", length, maxSettings)
		}
	}
	overlay(&settings.Mounts, recorded.Mounts)
	overlay(&settings.Env, recorded.Env)
	overlay(&settings.Args, recorded.Args)
	overlay(&settings.Devices, recorded.Devices)
	return settings, nil
}

// maxSettings is the number of entries that [v2.ValidateConfig] allows in a list.
const maxSettings = 4096

func overlay[T any](setting *[]T, recorded []T) {
	if len(recorded) > 0 {
		*setting = slices.Clone(recorded)
	}
}

// defaults returns the settings that a new plugin of a config has.
func defaults(config types.PluginConfig) types.PluginSettings {
	p := &v2.Plugin{PluginObj: types.Plugin{Config: config}}
	p.InitEmptySettings()
	return p.PluginObj.Settings
}

// decode is json.Unmarshal with errors that name the member.
func decode(data []byte, value any) error {
	err := json.Unmarshal(data, value)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s: a JSON %s is not of type %s", mismatch.Field, mismatch.Value, mismatch.Type)
	}
	return err
}
