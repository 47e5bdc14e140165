// SPDX-License-Identifier: Apache-2.0

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

	"github.com/dovetailhq/plugin/internal/socketpath"
)

// Bounds of a config. Each is a limit of the kernel, so a config beyond it could
// not be started.
const (
	maxStringBytes = 131071 // MAX_ARG_STRLEN: an argument, or NAME=value
	maxSocketBytes = socketpath.Max
	maxOptionBytes = 4095    // mount(2): the options of a mount
	maxListEntries = 1 << 12 // far above any plugin, and far below ARG_MAX
	noUser         = math.MaxUint32

	// maxProblems is how many problems of a config an error lists. A config
	// of a MiB has room for a million.
	maxProblems = 20
)

// ValidateConfig refuses a config that endangers the user who installs it:
//
//   - control and invisible characters in displayed fields, and long runs of
//     white space in fields that users grant;
//   - a mount that shows the host's devices or all of its cgroups, unless the
//     config asks for all devices and CAP_SYS_ADMIN as well;
//   - lists of more than 4096 entries.
//
// It accepts all other configs that docker installs, including those that no
// start can run: see [Plugin.Validate] and [ConfigWarnings].
//
// The error is of type [InvalidConfigError] and joins a [ConfigProblemError] for
// each of the first 20 problems.
func ValidateConfig(config types.PluginConfig) error {
	var v validator
	v.config(config)
	v.shown(config)
	return v.err()
}

// ConfigWarnings returns a sentence for each field of a valid config that is
// ignored, is read in another way, or prevents the plugin from being enabled.
// Examples are mount options without effect, capabilities unknown to Linux, and
// an empty entrypoint. It returns the first 20 and the number of the others.
func ConfigWarnings(config types.PluginConfig) []string {
	var v validator
	v.config(config)
	if more := v.warned - len(v.warnings); more > 0 {
		return append(v.warnings, fmt.Sprintf("and %d more warnings", more))
	}
	return v.warnings
}

// Validate refuses a plugin that must not be started, because no start can run
// its config and settings, or because they reach out of the plugin's
// directories:
//
//   - an entrypoint that names no program;
//   - a socket that is not set, that leads out of the directory for sockets, that
//     is that directory, or that does not fit into the URL for docker's client;
//   - a mount, or a propagated mount, at the plugin's root;
//   - a variable without a name that has a value;
//   - a mount that [ValidateConfig] refuses;
//   - the user or group 4294967295, which the kernel reserves for "none";
//   - a value above the kernel's limit, or with a NUL byte.
//
// Validate does not check displayed fields as [ValidateConfig] does, because the
// plugin's privileges are already granted. The error is that of [ValidateConfig].
func (p *Plugin) Validate() error {
	view := p.Snapshot()
	v := validator{starting: true}
	v.config(view.Config)
	v.settings(view.Settings)
	return v.err()
}

// validator collects problems.
type validator struct {
	problems []error
	more     int // number of problems that are not listed
	warnings []string
	warned   int // number of warnings, including those not listed

	starting   bool // checks a start, not an install
	unconfined bool // see isUnconfined
}

func (v *validator) err() error {
	if len(v.problems) == 0 {
		return nil
	}
	if v.more > 0 {
		v.problems = append(v.problems, fmt.Errorf("and %d more problems", v.more))
	}
	return &InvalidConfigError{Err: errors.Join(v.problems...)}
}

func (v *validator) refuse(field, value, reason string) {
	if len(v.problems) == maxProblems {
		v.more++
		return
	}
	v.problems = append(v.problems, &ConfigProblemError{Field: field, Value: value, Reason: reason})
}

// impossible reports a field that no start can run: a problem of a start, and a
// warning at install.
func (v *validator) impossible(field, value, reason string) {
	if v.starting {
		v.refuse(field, value, reason)
		return
	}
	v.warn(field, value, reason+"; the plugin can't be enabled")
}

func (v *validator) warn(field, value, reason string) {
	if v.warned++; v.warned <= maxProblems {
		v.warnings = append(v.warnings, (&ConfigProblemError{Field: field, Value: value, Reason: reason}).Error())
	}
}

func (v *validator) config(c types.PluginConfig) {
	if len(c.Entrypoint) == 0 || c.Entrypoint[0] == "" {
		v.impossible("entrypoint", "", "is empty: name the program to start")
	}
	v.strings("entrypoint", c.Entrypoint)
	v.strings("args.value", c.Args.Value)
	v.text("workdir", c.WorkDir, maxPathBytes)
	if c.User.UID == noUser || c.User.GID == noUser {
		v.impossible("user", fmt.Sprintf("%d:%d", c.User.UID, c.User.GID), fmt.Sprintf("uses the reserved ID %d", uint32(noUser)))
	}
	if !slices.Contains(networkTypes, c.Network.Type) {
		v.warn("network.type", c.Network.Type, "is not a documented type: the plugin gets a separate network namespace without a network")
	}
	v.interfaces(c.Interface)
	v.env(c.Env)
	v.unconfined = isUnconfined(c)
	v.mounts("mounts", c.Mounts)
	if c.PropagatedMount != "" {
		v.place("propagatedMount", c.PropagatedMount)
	}
	v.linux(c.Linux)
}

// networkTypes are the types in docker's documentation and in its list of
// privileges.
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

// socket checks the path of the socket, which docker reads as relative to the
// directory for sockets.
func (v *validator) socket(socket string) {
	if socket == "" {
		v.impossible("interface.socket", "", "is empty: name the socket that the plugin makes below /run/docker/plugins")
		return
	}
	switch relative := path.Clean(strings.TrimLeft(socket, "/")); {
	case relative == ".":
		v.impossible("interface.socket", socket, "names no file")
	case relative == "..", strings.HasPrefix(relative, "../"):
		v.impossible("interface.socket", socket, "leads out of the directory for sockets")
	}
	if _, err := url.Parse("unix:///" + socket); err != nil {
		v.impossible("interface.socket", socket, "does not fit into a URL: remove control characters, and each % that does not begin an escape")
	}
	v.text("interface.socket", socket, maxSocketBytes)
}

// isNotWord reports whether r can't occur in a word of JSON and headers. Docker's
// decoder does not undo the escapes of JSON.
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
			v.warn(field, variable.Name, "is not a name that shells accept")
		}
	}
}

// isOdd reports whether the kernel accepts r in a name and shells don't.
func isOdd(r rune) bool { return r <= ' ' || r == 0x7f || r == '=' }

// variable does not show the value, which may be a secret.
func (v *validator) variable(field, name, value string) {
	switch {
	case name == "":
		v.impossible(field, "", "has no name")
	case strings.ContainsRune(name+value, 0):
		v.impossible(field, name, "has a NUL byte")
	case len(name)+len("=")+len(value) > maxStringBytes:
		v.impossible(field, name, fmt.Sprintf("has more than %d bytes", maxStringBytes))
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

// place checks the destination of a mount. The runtime reads it relative to the
// plugin's root, however it is written.
func (v *validator) place(field, place string) {
	clean := path.Join("/", place)
	switch {
	case clean == "/":
		v.impossible(field, place, "would hide the plugin's root file system")
	case clean != strings.TrimRight(place, "/"):
		v.warn(field, place, "is not absolute and clean: it is read as "+clean)
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
		v.impossible(field, text, "has a NUL byte")
	}
	if len(text) > most {
		v.impossible(field, text, fmt.Sprintf("has more than %d bytes", most))
	}
}

func (v *validator) length(field string, n int) {
	if n > maxListEntries && !v.starting {
		v.refuse(field, "", fmt.Sprintf("has more than %d entries", maxListEntries))
	}
}
