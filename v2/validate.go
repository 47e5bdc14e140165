package v2

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

// Bounds on what a config may hold. Each is where the kernel ends, so that what
// exceeds one could not be started.
const (
	maxStringBytes = 131071  // MAX_ARG_STRLEN: an argument, or NAME=value
	maxSocketBytes = 107     // a whole sockaddr_un
	maxOptionBytes = 4095    // what mount(2) takes of a mount's options
	maxListEntries = 1 << 12 // far from any plugin, and from ARG_MAX
	noUser         = math.MaxUint32

	// maxProblems is how many problems of a config an error lists. More help
	// nobody, and a config of a MiB has room for a million.
	maxProblems = 20
)

// ValidateConfig refuses a config that can't be run, or that would reach out of
// the plugin's own directories:
//
//   - the entrypoint names a program;
//   - the socket is a plain file name, and may be empty;
//   - interface types have a capability, and no spaces or control characters;
//   - capabilities are known to Linux, and the network type to docker;
//   - mounts have a type that Linux knows, or none, options that an OCI runtime
//     understands or hands to the file system, and a destination, like the
//     propagated mount an absolute, clean path below /;
//   - devices have a path, or one that can be set;
//   - variables have names, without = and without space;
//   - nothing is larger than the kernel takes, or holds a NUL byte.
//
// What is empty and can be set is fine. The error is of type [ErrInvalidConfig]
// and joins an [ErrConfigProblem] for each of the first 20 problems.
func ValidateConfig(config types.PluginConfig) error {
	var v validator
	v.config(config)
	return v.err()
}

// Validate is [ValidateConfig] for the config of p, and for its settings, which
// are held to the same; but a user may name variables in any way that the kernel
// takes.
func (p *Plugin) Validate() error {
	view := p.Snapshot()
	var v validator
	v.config(view.Config)
	v.settings(view.Settings)
	return v.err()
}

// validator collects problems.
type validator struct {
	problems []error
	more     int // that are not listed
}

func (v *validator) err() error {
	if len(v.problems) == 0 {
		return nil
	}
	if v.more > 0 {
		v.problems = append(v.problems, fmt.Errorf("and %d more problems", v.more))
	}
	return ErrInvalidConfig{Err: errors.Join(v.problems...)}
}

func (v *validator) refuse(field, value, reason string) {
	if len(v.problems) == maxProblems {
		v.more++
		return
	}
	v.problems = append(v.problems, ErrConfigProblem{Field: field, Value: value, Reason: reason})
}

func (v *validator) config(c types.PluginConfig) {
	if len(c.Entrypoint) == 0 || c.Entrypoint[0] == "" {
		v.refuse("entrypoint", "", "is empty: name the program to start")
	}
	v.strings("entrypoint", c.Entrypoint)
	v.strings("args.value", c.Args.Value)
	v.text("workdir", c.WorkDir, maxPathBytes)
	if c.User.UID == noUser || c.User.GID == noUser {
		v.refuse("user", fmt.Sprintf("%d:%d", c.User.UID, c.User.GID), "is nobody's id")
	}
	if !slices.Contains(networkTypes, c.Network.Type) {
		v.refuse("network.type", c.Network.Type, "is not known: use "+strings.Join(networkTypes[1:], ", ")+" or nothing")
	}
	v.interfaces(c.Interface)
	v.env(c.Env)
	v.mounts("mounts", c.Mounts)
	if c.PropagatedMount != "" {
		v.place("propagatedMount", c.PropagatedMount)
	}
	v.linux(c.Linux)
	v.shown(c)
}

// networkTypes are the ones that docker's documentation and its list of
// privileges know.
var networkTypes = []string{"", "bridge", "host", "none", "null"}

func (v *validator) interfaces(c types.PluginConfigInterface) {
	switch socket := c.Socket; {
	case socket == "." || socket == ".." || strings.Contains(socket, "/"):
		v.refuse("interface.socket", socket, "is not a plain file name")
	default:
		v.text("interface.socket", socket, maxSocketBytes)
	}
	v.length("interface.types", len(c.Types))
	for i, t := range c.Types {
		field := fmt.Sprintf("interface.types[%d]", i)
		text := t.Prefix + t.Capability + t.Version
		switch {
		case t.Capability == "":
			v.refuse(field, t.String(), "names no capability: want PREFIX.CAPABILITY/VERSION")
		case strings.ContainsFunc(text, isNotWord):
			v.refuse(field, t.String(), "is not of the form PREFIX.CAPABILITY/VERSION")
		}
		v.text(field, text, maxPathBytes)
	}
}

// isNotWord tells what a word that travels in JSON and headers can't have;
// docker's decoder does not undo the escapes of JSON.
func isNotWord(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }

func (v *validator) env(env []types.PluginEnv) {
	v.length("env", len(env))
	for i, variable := range env {
		field := fmt.Sprintf("env[%d]", i)
		value := ""
		if variable.Value != nil {
			value = *variable.Value
		}
		if strings.ContainsFunc(variable.Name, isNoName) {
			v.refuse(field, variable.Name, "is no name of a variable: leave out =, spaces and control characters")
			continue
		}
		v.variable(field, variable.Name, value)
	}
}

func isNoName(r rune) bool { return r <= ' ' || r == 0x7f || r == '=' }

// variable does not show the value, which may be a secret.
func (v *validator) variable(field, name, value string) {
	switch {
	case name == "":
		v.refuse(field, "", "has no name")
	case strings.ContainsRune(name+value, 0):
		v.refuse(field, name, "has a NUL byte")
	case len(name)+len("=")+len(value) > maxStringBytes:
		v.refuse(field, name, fmt.Sprintf("has more than %d bytes", maxStringBytes))
	}
}

func (v *validator) linux(c types.PluginConfigLinux) {
	v.length("linux.capabilities", len(c.Capabilities))
	for i, name := range c.Capabilities {
		if !isCapability(name) {
			v.refuse(fmt.Sprintf("linux.capabilities[%d]", i), name, "is not a capability of Linux: see capabilities(7)")
		}
	}
	v.length("linux.devices", len(c.Devices))
	for i, device := range c.Devices {
		field := fmt.Sprintf("linux.devices[%d].path", i)
		if device.Path != nil && *device.Path != "" {
			v.text(field, *device.Path, maxPathBytes)
		} else if len(device.Settable) == 0 {
			v.refuse(field, "", fmt.Sprintf("of device %q is empty, and not settable: give it a path or make it settable", device.Name))
		}
	}
}

func (v *validator) settings(s types.PluginSettings) {
	v.mounts("settings.mounts", s.Mounts)
	v.strings("settings.args", s.Args)
	v.length("settings.env", len(s.Env))
	for i, entry := range s.Env {
		name, value, _ := strings.Cut(entry, "=")
		v.variable(fmt.Sprintf("settings.env[%d]", i), name, value)
	}
	for i, device := range s.Devices {
		if device.Path != nil {
			v.text(fmt.Sprintf("settings.devices[%d].path", i), *device.Path, maxPathBytes)
		}
	}
}

// place checks a path that something is mounted at. Slashes at its end change
// nothing.
func (v *validator) place(field, place string) {
	trimmed := strings.TrimRight(place, "/")
	switch {
	case !path.IsAbs(place):
		v.refuse(field, place, "is not absolute")
	case trimmed == "":
		v.refuse(field, place, "would hide the plugin's root file system")
	case path.Clean(place) != trimmed:
		v.refuse(field, place, "is not clean: write "+path.Clean(place))
	}
	v.text(field, place, maxPathBytes)
}

func (v *validator) strings(field string, list []string) {
	v.length(field, len(list))
	for i, text := range list {
		v.text(fmt.Sprintf("%s[%d]", field, i), text, maxStringBytes)
	}
}

func (v *validator) text(field, text string, most int) {
	if strings.ContainsRune(text, 0) {
		v.refuse(field, text, "has a NUL byte")
	}
	if len(text) > most {
		v.refuse(field, text, fmt.Sprintf("has more than %d bytes", most))
	}
}

func (v *validator) length(field string, n int) {
	if n > maxListEntries {
		v.refuse(field, "", fmt.Sprintf("has more than %d entries", maxListEntries))
	}
}
