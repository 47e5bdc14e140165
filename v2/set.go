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
	changes, err := changesOf(config, args)
	if err != nil {
		return err
	}
	settings := cloneSettings(p.PluginObj.Settings)
	var paths []string // of devices
	for _, change := range changes {
		change.apply(config, &settings)
		if change.kind == deviceKind {
			paths = append(paths, change.value)
		}
	}
	p.PluginObj.Settings = settings
	p.unpinLocked(paths)
	return nil
}

// change is the new value of a setting.
type change struct {
	target
	value string
	words []string // of args
}

// changesOf returns one change for each setting that args name, in the order in
// which they first name it. The error is of type [ErrInvalidSetting].
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
			return nil, ErrInvalidSetting{Setting: assignment.key, Reason: reason, Settable: listSettable(config)}
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

// changeOf returns what an assignment changes, or the reason why it can't.
func changeOf(named namedTargets, a assignment) (_ *change, reason string) {
	found, reason := named.find(a.key)
	if reason != "" {
		return nil, reason
	}
	if !slices.Contains(found.settable, found.kind.field) {
		return nil, "is not settable"
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

// apply makes the change in settings, which nothing else has seen yet.
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
