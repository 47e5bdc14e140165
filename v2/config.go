// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker/api/types"
)

// ParseConfig reads a plugin's config.json. Use it instead of [json.Unmarshal]:
// docker's decoder of an interface type panics, or reads past the end, when the
// type has no version, and does not undo the escapes of JSON. Unknown members are
// ignored. The error is of type [InvalidConfigError].
func ParseConfig(data []byte) (types.PluginConfig, error) {
	if entries := longestList(data); entries > maxListEntries {
		return types.PluginConfig{}, &InvalidConfigError{Err: fmt.Errorf("a list has %d entries, more than %d", entries, maxListEntries)}
	}
	var config wireConfig
	if err := json.Unmarshal(data, &config); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			err = fmt.Errorf("%s: a JSON %s is not of type %s", fieldName(mismatch.Field), mismatch.Value, mismatch.Type)
		}
		return types.PluginConfig{}, &InvalidConfigError{Err: err}
	}
	return config.value(), nil
}

// fieldName converts a path of encoding/json to the one in config.json: without
// embedded types, and in lower case.
func fieldName(path string) string {
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		if name == "PluginConfig" || name == "PluginConfigInterface" || name == "" {
			continue
		}
		names = append(names, strings.ToLower(name[:1])+name[1:])
	}
	return strings.Join(names, ".")
}

// wirePlugin, wireConfig and wireInterface shadow, level by level, the member of
// docker's types that needs another decoder.
type wirePlugin struct {
	types.Plugin
	Config wireConfig
}

type wireConfig struct {
	types.PluginConfig
	Interface wireInterface
}

type wireInterface struct {
	types.PluginConfigInterface
	Types []interfaceType
}

func (w wirePlugin) value() types.Plugin {
	plugin := w.Plugin
	plugin.Config = w.Config.value()
	return plugin
}

func (w wireConfig) value() types.PluginConfig {
	config := w.PluginConfig
	config.Interface = w.Interface.PluginConfigInterface
	if w.Interface.Types == nil {
		return config
	}
	config.Interface.Types = make([]types.PluginInterfaceType, len(w.Interface.Types))
	for i, t := range w.Interface.Types {
		config.Interface.Types[i] = types.PluginInterfaceType(t)
	}
	return config
}

// interfaceType is a types.PluginInterfaceType, written PREFIX.CAPABILITY/VERSION.
type interfaceType types.PluginInterfaceType

// UnmarshalJSON accepts any string: without a dot it has no prefix, without a
// slash no version.
func (t *interfaceType) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	qualified, version, _ := strings.Cut(text, "/")
	dot := strings.LastIndexByte(qualified, '.')
	*t = interfaceType{
		Prefix:     qualified[:max(0, dot)],
		Capability: qualified[dot+1:],
		Version:    version,
	}
	return nil
}
