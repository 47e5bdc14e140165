// SPDX-License-Identifier: Apache-2.0

// Package privilege computes the privileges that a plugin's config asks for, in
// the form that docker's CLI shows and sends back, and compares them with what
// the user granted. Its functions are pure and do not change their arguments.
package privilege

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Of returns the privileges that config asks for, in docker's order and words.
// The value of a mount is its source. If the mount is neither a bind nor of type
// tmpfs, the value also has its type, destination and options.
func Of(config types.PluginConfig) types.PluginPrivileges {
	var all types.PluginPrivileges
	add := func(name, description string, values ...string) {
		all = append(all, types.PluginPrivilege{Name: name, Description: description, Value: values})
	}
	switch config.Network.Type {
	case "", "null", "bridge":
	default:
		add("network", "permissions to access a network", config.Network.Type)
	}
	if config.IpcHost {
		add("host ipc namespace", "allow access to host ipc namespace", "true")
	}
	if config.PidHost {
		add("host pid namespace", "allow access to host pid namespace", "true")
	}
	for _, mount := range config.Mounts {
		if mount.Source != nil || !isOrdinary(mount) {
			add("mount", "host path to mount", describeMount(mount))
		}
	}
	for _, device := range config.Linux.Devices {
		if device.Path != nil {
			add("device", "host device to access", *device.Path)
		}
	}
	if config.Linux.AllowAllDevices {
		add("allow-all-devices", "allow 'rwm' access to all devices", "true")
	}
	if len(config.Linux.Capabilities) > 0 {
		add("capabilities", "list of additional capabilities required", slices.Clone(config.Linux.Capabilities)...)
	}
	return all
}

// describeMount returns the value of a mount. For binds and tmpfs it is docker's
// text, the source, so that grants given to docker stay valid.
func describeMount(m types.PluginMount) string {
	source := ""
	if m.Source != nil {
		source = *m.Source
	}
	if isOrdinary(m) {
		return source
	}
	text := fmt.Sprintf("%s (type %s at %s", source, m.Type, m.Destination)
	if options := strings.Join(m.Options, ","); options != "" {
		text += ", options " + options
	}
	return strings.TrimSpace(text + ")")
}

// isOrdinary reports whether the source describes a mount completely. The option
// bind or rbind makes a mount a bind, whatever its type. A mount without a type
// can't be mounted.
func isOrdinary(m types.PluginMount) bool {
	if slices.Contains([]string{"", "bind", "rbind", "tmpfs"}, m.Type) {
		return true
	}
	for _, option := range m.Options {
		for word := range strings.SplitSeq(option, ",") {
			if word = strings.TrimSpace(word); word == "bind" || word == "rbind" {
				return true
			}
		}
	}
	return false
}

// Check returns a [MismatchError] unless granted and required are equal as
// multisets of names and values. It ignores order and descriptions.
func Check(required, granted types.PluginPrivileges) error {
	missing, excess := Diff(granted, required)
	if len(missing)+len(excess) > 0 {
		return &MismatchError{Missing: missing, Excess: excess}
	}
	return nil
}

// Diff returns the privileges that only to has, and those that only from has, in
// their original order.
func Diff(from, to types.PluginPrivileges) (added, dropped types.PluginPrivileges) {
	return subtract(to, from), subtract(from, to)
}

// subtract returns all without some, as multisets.
func subtract(all, some types.PluginPrivileges) (left types.PluginPrivileges) {
	counts := make(map[string]int)
	for _, p := range some {
		counts[key(p)]++
	}
	for _, p := range all {
		if counts[key(p)] > 0 {
			counts[key(p)]--
			continue
		}
		left = append(left, p)
	}
	return left
}

// key returns the same text for privileges that differ only in the order of their
// values and in their description. Values are quoted, so that they can't run into
// each other.
func key(p types.PluginPrivilege) string {
	values := slices.Sorted(slices.Values(p.Value))
	return fmt.Sprintf("%q %q", p.Name, values)
}

// MismatchError reports grants that differ from what the plugin asks for. Class
// InvalidParameter.
type MismatchError struct {
	// Missing lists the privileges that the plugin asks for and were not granted,
	// Excess those that were granted but the plugin does not ask for.
	Missing, Excess types.PluginPrivileges
	// Added lists the privileges that only the new version asks for, Dropped
	// those that only the installed version asks for. Only upgrades set them.
	Added, Dropped types.PluginPrivileges
}

func (e *MismatchError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, "not granted: "+describe(e.Missing))
	}
	if len(e.Excess) > 0 {
		parts = append(parts, "granted, but not asked for: "+describe(e.Excess))
	}
	if len(e.Added) > 0 {
		parts = append(parts, "new in this version: "+describe(e.Added))
	}
	if len(e.Dropped) > 0 {
		parts = append(parts, "gone from this version: "+describe(e.Dropped))
	}
	return plaintext.Quote("incorrect privilege: " + strings.Join(parts, "; "))
}

// InvalidParameter marks the error's class.
func (e *MismatchError) InvalidParameter() {}

// Bounds of an error's text: a config can ask for any number of privileges.
const (
	maxShown      = 50
	maxShownBytes = 1 << 10
)

func describe(privileges types.PluginPrivileges) string {
	var texts []string
	for _, p := range privileges[:min(len(privileges), maxShown)] {
		texts = append(texts, fmt.Sprintf("%s: %v", p.Name, shown(p.Value)))
	}
	if more := len(privileges) - maxShown; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, ", ")
}

// shown returns the first values of a privilege, up to maxShownBytes.
func shown(values []string) []string {
	length := 0
	for i, value := range values {
		if length += len(value); length > maxShownBytes {
			return append(values[:i:i], fmt.Sprintf("and %d more", len(values)-i))
		}
	}
	return values
}
