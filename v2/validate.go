package v2

import (
	"errors"
	"fmt"
	"math"
	"net/url"
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

	// maxProblems is how many problems of a config an error lists. A config
	// of a MiB has room for a million.
	maxProblems = 20
)

// ValidateConfig refuses a config that can't be run, or that would reach out of
// the plugin's own directories. It accepts whatever else docker runs, and
// [ConfigWarnings] says how. Refused are
//
//   - an entrypoint that names no program;
//   - a socket that leads out of the directory for sockets, or is that directory,
//     or that docker's client can't be given: it takes a URL;
//   - control and invisible characters in what users are shown, and long runs of
//     white space in what they grant;
//   - a mount, or a propagated mount, in the place of the plugin's root;
//   - a variable without a name that has a value;
//   - a mount that shows the host's devices or all of its cgroups, unless the
//     config asks for all devices and CAP_SYS_ADMIN as well;
//   - a user or group whose id is the kernel's for none;
//   - what is larger than the kernel takes, or holds a NUL byte.
//
// The error is of type [ErrInvalidConfig] and joins an [ErrConfigProblem] for
// each of the first 20 problems.
func ValidateConfig(config types.PluginConfig) error {
	var v validator
	v.config(config)
	return v.err()
}

// ConfigWarnings returns what of a sound config is ignored, or taken for
// something else, a sentence each, the first 20 and how many more there are:
// words that mean nothing to a mount, capabilities that Linux does not have, and
// the like.
func ConfigWarnings(config types.PluginConfig) []string {
	var v validator
	v.config(config)
	if more := v.warned - len(v.warnings); more > 0 {
		return append(v.warnings, fmt.Sprintf("and %d more warnings", more))
	}
	return v.warnings
}

// Validate is [ValidateConfig] for the config of p and for its settings, before
// p is run: then it needs a socket as well.
func (p *Plugin) Validate() error {
	view := p.Snapshot()
	var v validator
	v.config(view.Config)
	v.settings(view.Settings)
	if view.Config.Interface.Socket == "" {
		v.refuse("interface.socket", "", "is empty: name the socket that the plugin makes below /run/docker/plugins")
	}
	return v.err()
}

// validator collects problems.
type validator struct {
	problems []error
	more     int // that are not listed
	warnings []string
	warned   int // how many there are

	unconfined bool // the config asks for all that a mount can show
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

func (v *validator) warn(field, value, reason string) {
	if v.warned++; v.warned <= maxProblems {
		v.warnings = append(v.warnings, ErrConfigProblem{Field: field, Value: value, Reason: reason}.Error())
	}
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
		v.warn("network.type", c.Network.Type, "is no type that docker documents: the plugin gets a network namespace of its own, in which there is no network")
	}
	v.interfaces(c.Interface)
	v.env(c.Env)
	v.unconfined = isUnconfined(c)
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
	v.socket(c.Socket)
	v.length("interface.types", len(c.Types))
	for i, t := range c.Types {
		field := fmt.Sprintf("interface.types[%d]", i)
		text := t.Prefix + t.Capability + t.Version
		switch {
		case t.Capability == "":
			v.warn(field, t.String(), "names no capability: want PREFIX.CAPABILITY/VERSION")
		case strings.ContainsFunc(text, isNotWord):
			v.warn(field, t.String(), "is not of the form PREFIX.CAPABILITY/VERSION: docker reads it differently")
		}
		v.text(field, text, maxPathBytes)
	}
}

// socket checks a path below the directory for sockets, to which docker takes
// it as relative.
func (v *validator) socket(socket string) {
	if socket == "" {
		v.warn("interface.socket", "", "is empty: the plugin can't be enabled")
		return
	}
	switch relative := path.Clean(strings.TrimLeft(socket, "/")); {
	case relative == ".":
		v.refuse("interface.socket", socket, "names no file")
	case relative == "..", strings.HasPrefix(relative, "../"):
		v.refuse("interface.socket", socket, "leads out of the directory for sockets")
	}
	if _, err := url.Parse("unix:///" + socket); err != nil {
		v.refuse("interface.socket", socket, "can't be called: it has control characters, or a % that begins no escape of a URL")
	}
	v.text("interface.socket", socket, maxSocketBytes)
}

// isNotWord tells what a word that travels in JSON and headers can't have;
// docker's decoder does not undo the escapes of JSON.
func isNotWord(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }

func (v *validator) env(env []types.PluginEnv) {
	v.length("env", len(env))
	for i, variable := range env {
		field := fmt.Sprintf("env[%d]", i)
		switch {
		case variable.Name == "" && variable.Value == nil:
			v.warn(field, "", "has no name: it is left out")
		case variable.Value == nil:
			v.variable(field, variable.Name, "")
		default:
			v.variable(field, variable.Name, *variable.Value)
		}
		if strings.ContainsFunc(variable.Name, isOdd) {
			v.warn(field, variable.Name, "is no name that shells take")
		}
	}
}

// isOdd tells what the kernel takes in a name and shells don't.
func isOdd(r rune) bool { return r <= ' ' || r == 0x7f || r == '=' }

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
		if _, ok := capabilityNamed(name); !ok {
			v.warn(fmt.Sprintf("linux.capabilities[%d]", i), name, "is not a capability of Linux, see capabilities(7): it is left out")
		}
	}
	v.length("linux.devices", len(c.Devices))
	for i, device := range c.Devices {
		field := fmt.Sprintf("linux.devices[%d].path", i)
		if device.Path != nil && *device.Path != "" {
			v.text(field, *device.Path, maxPathBytes)
		} else if len(device.Settable) == 0 {
			v.warn(field, "", fmt.Sprintf("of device %q is empty, and not settable: it is left out", device.Name))
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

// place checks a path that something is mounted at, which is below the plugin's
// root however it is written.
func (v *validator) place(field, place string) {
	clean := path.Join("/", place)
	switch {
	case clean == "/":
		v.refuse(field, place, "would hide the plugin's root file system")
	case clean != strings.TrimRight(place, "/"):
		v.warn(field, place, "is not absolute and clean: it is taken for "+clean)
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
