package v2

import (
	"slices"

	"github.com/docker/docker/api/types"
	"github.com/kballard/go-shellquote"
)

// Set changes settings, as `docker plugin set` does. Each of args is
// NAME=value or NAME.field=value, and NAME alone means an empty value:
//
//	what            field   value
//	env variable    value   any text
//	mount           source  a path on the host
//	device          path    a path on the host
//	args            value   words, quoted as in a shell; an empty value means no args
//
// NAME is the name of the entry in the config. The field may be left out; if
// several entries have the same name it must tell which one is meant. Only
// fields that the entry lists as settable can be set. Of several values for
// one setting the last wins.
//
// All args are applied, or none and the error is of type [ErrInvalidSetting].
// Config never changes. New settings take effect when the plugin is started
// next; whether it may be set while it runs is the caller's business.
func (p *Plugin) Set(args []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	config := &p.PluginObj.Config
	settings := cloneSettings(p.PluginObj.Settings)
	var paths []string // of devices
	for _, arg := range args {
		assignment, reason := parseAssignment(arg)
		if reason == "" {
			reason = assign(config, &settings, assignment)
			if target, _ := findTarget(config, assignment.key); target.kind == deviceKind {
				paths = append(paths, assignment.value)
			}
		}
		if reason != "" {
			return ErrInvalidSetting{Setting: assignment.key, Reason: reason, Settable: listSettable(config)}
		}
	}
	p.PluginObj.Settings = settings
	p.unpinLocked(paths)
	return nil
}

// assign applies one assignment to settings, which nobody else has seen yet, or
// says why it can't.
func assign(config *types.PluginConfig, settings *types.PluginSettings, a assignment) (reason string) {
	target, reason := findTarget(config, a.key)
	if reason != "" {
		return reason
	}
	if !slices.Contains(target.settable, target.kind.field) {
		return "is not settable"
	}
	switch target.kind {
	case envKind:
		setEnv(settings, target.name, a.value)
	case mountKind:
		setMountSource(settings, config.Mounts[target.index], a.value)
	case deviceKind:
		setDevicePath(settings, config.Linux.Devices[target.index], a.value)
	case argsKind:
		words, err := shellquote.Split(a.value)
		if err != nil {
			return "has an unterminated quote or escape in its value"
		}
		settings.Args = words
	}
	return ""
}
