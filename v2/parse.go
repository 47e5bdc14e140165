// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker/docker/api/types"
)

// assignment is one argument of Set.
type assignment struct {
	key   string // NAME or NAME.field
	value string
}

// parseAssignment splits arg at its first equals sign; values may hold more.
// The key is set even if there is a reason to refuse the assignment.
func parseAssignment(arg string) (a assignment, reason string) {
	a.key, a.value, _ = strings.Cut(arg, "=")
	switch {
	case a.key == "":
		return a, "names no setting: want NAME=value"
	case strings.ContainsRune(a.value, 0):
		return a, "has a value with a NUL byte"
	case !utf8.ValidString(a.value):
		return a, "has a value that is not valid UTF-8"
	}
	return a, ""
}

// kind is a class of entries in a config, and the field that can be settable in
// them.
type kind struct {
	noun  string
	field string
}

var (
	envKind    = kind{noun: "env variable", field: "value"}
	mountKind  = kind{noun: "mount", field: "source"}
	deviceKind = kind{noun: "device", field: "path"}
	argsKind   = kind{noun: "args", field: "value"}
)

// slot is the position of an entry in a config.
type slot struct {
	kind  kind
	index int // in the config's list
}

// target is an entry of a config that may be set.
type target struct {
	slot
	name     string
	settable []string
	absent   bool // the config has no value that a setting could replace
}

// canBeSet reports whether a setting can replace the value of t.
func (t target) canBeSet() bool { return slices.Contains(t.settable, t.kind.field) && !t.absent }

// targets lists the entries that have a name, in the order of the config.
func targets(config *types.PluginConfig) []target {
	var list []target
	for i, env := range config.Env {
		list = append(list, target{slot: slot{envKind, i}, name: env.Name, settable: env.Settable})
	}
	for i, mount := range config.Mounts {
		list = append(list, target{slot{mountKind, i}, mount.Name, mount.Settable, mount.Source == nil})
	}
	for i, device := range config.Linux.Devices {
		list = append(list, target{slot{deviceKind, i}, device.Name, device.Settable, device.Path == nil})
	}
	list = append(list, target{slot: slot{argsKind, 0}, name: config.Args.Name, settable: config.Args.Settable})
	return slices.DeleteFunc(list, func(t target) bool { return t.name == "" })
}

// namedTargets are the targets of a config, by name.
type namedTargets map[string][]target

func targetsByName(config *types.PluginConfig) namedTargets {
	named := make(namedTargets)
	for _, t := range targets(config) {
		named[t.name] = append(named[t.name], t)
	}
	return named
}

// find returns the entry that key names. A name can hold dots, so find tries key
// as a name and as a name with a field.
func (n namedTargets) find(key string) (found target, reason string) {
	candidates := slices.Clone(n[key])
	if dot := strings.LastIndexByte(key, '.'); dot >= 0 {
		for _, t := range n[key[:dot]] {
			if t.kind.field == key[dot+1:] {
				candidates = append(candidates, t)
			}
		}
	}
	switch {
	case len(candidates) == 1:
		return candidates[0], ""
	case len(candidates) > 1:
		return target{}, "is ambiguous: it can be " + describe(candidates)
	case n.hasPrefixOf(key):
		return target{}, "is not settable"
	}
	return target{}, "is not in the config of this plugin"
}

// hasPrefixOf reports whether key is the name of an entry followed by an unknown
// field.
func (n namedTargets) hasPrefixOf(key string) bool {
	for name := range n {
		if strings.HasPrefix(key, name+".") {
			return true
		}
	}
	return false
}

func describe(candidates []target) string {
	words := make([]string, len(candidates))
	for i, t := range candidates {
		words[i] = "the " + t.kind.field + " of " + t.kind.noun + " " + t.name
	}
	return strings.Join(words, " or ")
}

// listSettable lists the keys that Set accepts. Variables are listed without
// their field, as users write them.
func listSettable(config *types.PluginConfig) []string {
	var keys []string
	for _, t := range targets(config) {
		if !t.canBeSet() {
			continue
		}
		if t.kind == envKind {
			keys = append(keys, t.name)
			continue
		}
		keys = append(keys, t.name+"."+t.kind.field)
	}
	return keys
}
