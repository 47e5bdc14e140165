// Package privilege computes what a plugin's config asks of its host, in the
// form that docker's CLI shows and sends back, and compares it with what the
// user granted. It is pure: nothing it is given is changed.
package privilege

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Of returns what config asks for, in docker's order and words. What a mount
// shows is more than its source says unless it is a bind or of type tmpfs: then
// the value has its type, place and options as well.
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

// describeMount returns docker's text for binds and tmpfs, which is the source:
// grants that were given to docker stay valid.
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

// isOrdinary reports whether the source says all about a mount. Any option that
// says bind makes it a bind, whatever its type; one without a type can't be
// mounted.
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

// Check returns a [MismatchError] unless granted is what required is, in
// whatever order: as many entries of each name and values. Descriptions are
// for people and don't count.
func Check(required, granted types.PluginPrivileges) error {
	missing, excess := Diff(granted, required)
	if len(missing)+len(excess) > 0 {
		return &MismatchError{Missing: missing, Excess: excess}
	}
	return nil
}

// Diff returns what to has and from has not, and the other way round, each in
// its order.
func Diff(from, to types.PluginPrivileges) (added, dropped types.PluginPrivileges) {
	return subtract(to, from), subtract(from, to)
}

// subtract returns what is left of all when each of some is taken from it once.
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

// key is the same for privileges that are the same but for the order of their
// values. Quoting keeps values apart.
func key(p types.PluginPrivilege) string {
	values := slices.Sorted(slices.Values(p.Value))
	return fmt.Sprintf("%q %q", p.Name, values)
}

// MismatchError refuses grants that are not what the plugin asks for. Class
// InvalidParameter.
type MismatchError struct {
	// Missing is what the plugin asks for and was not granted, Excess what was
	// granted and it does not ask for.
	Missing, Excess types.PluginPrivileges
	// Added is what the new version asks for beyond the one that is installed,
	// and Dropped what it does not ask for any more. Only upgrades have them.
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

// Bounds of an error's text: a config can ask for more than is ever read.
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

// shown is the beginning of a privilege's values, or all of them.
func shown(values []string) []string {
	length := 0
	for i, value := range values {
		if length += len(value); length > maxShownBytes {
			return append(values[:i:i], fmt.Sprintf("and %d more", len(values)-i))
		}
	}
	return values
}
