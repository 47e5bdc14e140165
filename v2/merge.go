package v2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// MergeSettings carries settings over from one version of a plugin to another:
// what the user has changed stays, and all else becomes the default of the new
// version. Variables that the old config does not know, as a daemon adds them
// at install, stay too. What the user has changed and the new version does not
// allow to be changed makes an [ErrLostSettings], unless the new default is
// the same. The result shares no memory with the arguments.
func MergeSettings(from types.PluginConfig, settings types.PluginSettings, to types.PluginConfig) (types.PluginSettings, error) {
	defaults, merged := initialSettings(from), initialSettings(to)
	var lost []string
	for _, old := range targets(&from) {
		value, isSet := old.value(settings)
		was, wasSet := old.value(defaults)
		if !isSet || isSet == wasSet && value == was {
			continue
		}
		if now, nowSet := old.value(merged); nowSet && now == value {
			continue
		}
		current, ok := old.counterpart(&to)
		if !ok {
			lost = append(lost, old.name)
			continue
		}
		current.set(&to, &merged, settings, value)
	}
	keepForeignEnv(from, settings, &merged)
	if len(lost) > 0 {
		return types.PluginSettings{}, ErrLostSettings{Settings: lost}
	}
	return merged, nil
}

// value returns what settings say of a target, as one text.
func (t target) value(settings types.PluginSettings) (value string, isSet bool) {
	switch t.kind {
	case envKind:
		for _, entry := range settings.Env {
			if value, ok := strings.CutPrefix(entry, t.name+"="); ok {
				return value, true
			}
		}
	case mountKind:
		for _, mount := range settings.Mounts {
			if mount.Name == t.name && mount.Source != nil {
				return *mount.Source, true
			}
		}
	case deviceKind:
		for _, device := range settings.Devices {
			if device.Name == t.name && device.Path != nil {
				return *device.Path, true
			}
		}
	case argsKind:
		return fmt.Sprintf("%q", settings.Args), true
	}
	return "", false
}

// counterpart finds what may be set in place of t in another version.
func (t target) counterpart(config *types.PluginConfig) (target, bool) {
	all := targets(config)
	i := slices.IndexFunc(all, func(other target) bool {
		return other.kind == t.kind && other.name == t.name && slices.Contains(other.settable, t.kind.field)
	})
	if i < 0 {
		return target{}, false
	}
	return all[i], true
}

func (t target) set(config *types.PluginConfig, merged *types.PluginSettings, settings types.PluginSettings, value string) {
	switch t.kind {
	case envKind:
		setEnv(merged, t.name, value)
	case mountKind:
		setMountSource(merged, config.Mounts[t.index], value)
	case deviceKind:
		setDevicePath(merged, config.Linux.Devices[t.index], value)
	case argsKind:
		merged.Args = slices.Clone(settings.Args)
	}
}

func keepForeignEnv(from types.PluginConfig, settings types.PluginSettings, merged *types.PluginSettings) {
	for _, entry := range settings.Env {
		name, value, _ := strings.Cut(entry, "=")
		if !slices.ContainsFunc(from.Env, func(env types.PluginEnv) bool { return env.Name == name }) {
			setEnv(merged, name, value)
		}
	}
}

// ErrLostSettings says that a new version of a plugin does not allow what the
// user has set.
type ErrLostSettings struct {
	// Settings are the names, in the order of the old config.
	Settings []string
}

// Error names the settings and the way out.
func (e ErrLostSettings) Error() string {
	return plaintext.Sprintf("the new version does not allow what was set for %s: set the default again first", strings.Join(e.Settings, ", "))
}

// Conflict is the error's class.
func (ErrLostSettings) Conflict() {}
