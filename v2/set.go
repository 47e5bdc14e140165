// SPDX-License-Identifier: Apache-2.0

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
// NAME is the name of the entry in the config. The field may be left out unless
// several entries share the name. Only fields that the entry lists as settable
// can be set, and the source of a mount or the path of a device only if the config
// has one, be it empty. If args set one setting several times, the last value wins.
//
// Set applies all args, or none and returns an error of type
// [InvalidSettingError]. Config never changes. New settings take effect at the
// plugin's next start. Set does not check whether the plugin is running.
func (p *Plugin) Set(args []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	config := &p.PluginObj.Config
	changes, err := changesOf(config, args)
	if err != nil {
		return err
	}
	settings := cloneSettings(p.PluginObj.Settings)
	var devices, sources []string
	for _, change := range changes {
		change.apply(config, &settings)
		switch change.kind {
		case deviceKind:
			devices = append(devices, change.value)
		case mountKind:
			sources = append(sources, change.value)
		}
	}
	p.PluginObj.Settings = settings
	p.unpinLocked(devices, sources)
	return nil
}

// change is the new value of a setting.
type change struct {
	target
	value string
	words []string // of args
}

// changesOf returns one change for each setting that args name, in the order in
// which they first name it. The error is of type [InvalidSettingError].
func changesOf(config *types.PluginConfig, args []string) ([]*change, error) {
	named := targetsByName(config)
	var changes []*change
	at := make(map[slot]*change)
	for _, arg := range args {
		assignment, reason := parseAssignment(arg)
		var next *change
		if reason == "" {
			next, reason = changeOf(named, assignment)
		}
		if reason != "" {
			return nil, &InvalidSettingError{Setting: assignment.key, Reason: reason, Settable: listSettable(config)}
		}
		if earlier, ok := at[next.slot]; ok {
			*earlier = *next
			continue
		}
		at[next.slot] = next
		changes = append(changes, next)
	}
	return changes, nil
}

// changeOf returns the change that an assignment makes, or the reason to refuse it.
func changeOf(named namedTargets, a assignment) (_ *change, reason string) {
	found, reason := named.find(a.key)
	if reason != "" {
		return nil, reason
	}
	switch {
	case !slices.Contains(found.settable, found.kind.field):
		return nil, "is not settable"
	case found.absent: // docker's words
		return nil, "can't be set: Plugin config has no " + found.kind.noun + " " + found.kind.field
	}
	next := &change{target: found, value: a.value}
	if found.kind == argsKind {
		words, err := shellquote.Split(a.value)
		if err != nil {
			return nil, "has an unterminated quote or escape in its value"
		}
		next.words = words
	}
	return next, ""
}

// apply makes the change in settings, which are not published yet.
func (c *change) apply(config *types.PluginConfig, settings *types.PluginSettings) {
	switch c.kind {
	case envKind:
		setEnv(settings, c.name, c.value)
	case mountKind:
		setMountSource(settings, config.Mounts[c.index], c.value)
	case deviceKind:
		setDevicePath(settings, config.Linux.Devices[c.index], c.value)
	case argsKind:
		settings.Args = c.words
	}
}
