// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// MergeSettings carries settings over from one version of a plugin to another.
// Values that the user changed stay; all others become the defaults of the new
// version. Variables that a user can't set also stay, because a daemon adds them
// at install. A changed value that the new version does not accept causes a
// [LostSettingsError], unless it equals the old or the new default. For this
// comparison an empty value equals an absent one, and paths are cleaned. A mount
// keeps its source only if the new version gives the plugin no more access: the
// same place, not writable instead of read-only, not shared with the host.
//
// With a LostSettingsError the merged settings are returned without the lost
// ones. They share no memory with the arguments.
func MergeSettings(from types.PluginConfig, settings types.PluginSettings, to types.PluginConfig) (types.PluginSettings, error) {
	m := merge{from: &from, to: &to, settings: settings, defaults: initialSettings(from), merged: initialSettings(to)}
	for _, old := range targets(&from) {
		m.carry(old)
	}
	keepForeignEnv(from, settings, &m.merged)
	if len(m.lost.Settings) > 0 {
		return m.merged, &m.lost
	}
	return m.merged, nil
}

// merge is one call of MergeSettings.
type merge struct {
	from, to         *types.PluginConfig
	settings         types.PluginSettings
	defaults, merged types.PluginSettings
	lost             LostSettingsError
}

// carry copies the setting of one entry of the old config to the new one.
func (m *merge) carry(old target) {
	value, isSet := old.value(m.settings)
	was, wasSet := old.value(m.defaults)
	if !isSet || isSet == wasSet && value == was {
		return
	}
	if !slices.Contains(old.settable, old.kind.field) {
		if old.kind == envKind {
			setEnv(&m.merged, old.name, value)
		}
		return
	}
	now, nowSet := old.value(m.merged)
	if nowSet && old.kind.same(value, now) {
		return
	}
	current, reason := old.counterpart(m.from, m.to)
	switch {
	case reason == "":
		current.set(m.to, &m.merged, m.settings, value)
	case !old.kind.same(value, was):
		m.lost.Settings = append(m.lost.Settings, old.name)
		m.lost.Reasons = append(m.lost.Reasons, reason)
	}
}

// same compares two values; a value that is not set is empty.
func (k kind) same(a, b string) bool {
	if a != "" && b != "" && (k == mountKind || k == deviceKind) {
		return path.Clean(a) == path.Clean(b)
	}
	return a == b
}

// value returns the setting of a target, as one text.
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

// counterpart finds the target in another version that replaces t, or returns
// the reason why there is none.
func (t target) counterpart(from, to *types.PluginConfig) (found target, reason string) {
	all := targets(to)
	i := slices.IndexFunc(all, func(other target) bool { return other.kind == t.kind && other.name == t.name })
	switch {
	case i < 0:
		return target{}, "is not in the new version"
	case !slices.Contains(all[i].settable, t.kind.field):
		return target{}, "can't be set in the new version"
	case t.kind == mountKind:
		reason = gain(from.Mounts[t.index], to.Mounts[all[i].index])
	}
	return all[i], reason
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

// LostSettingsError reports settings of the user that a new version of a plugin
// does not accept.
type LostSettingsError struct {
	// Settings are the names, in the order of the old config.
	Settings []string
	// Reasons complete sentences that begin with the names.
	Reasons []string
}

// Error names the settings, the reasons and the fix.
func (e *LostSettingsError) Error() string {
	parts := make([]string, len(e.Settings))
	for i, name := range e.Settings {
		parts[i] = name
		if i < len(e.Reasons) {
			parts[i] += " " + e.Reasons[i]
		}
	}
	return plaintext.Sprintf("the new version does not take what was set: %s; set the default again first, with NAME= where there is none, "+
		"or upgrade so that these settings are dropped", strings.Join(parts, ", "))
}

// Conflict marks the error's class.
func (*LostSettingsError) Conflict() {}
