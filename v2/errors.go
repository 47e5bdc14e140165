// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"strings"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// ErrInadequateCapability reports a plugin that lacks the requested capability.
// Like docker's it has no error class.
type ErrInadequateCapability struct {
	capability string
}

// Error names the capability, in lower case like the lookup.
func (e ErrInadequateCapability) Error() string {
	return plaintext.Sprintf("plugin does not provide %q capability", strings.ToLower(e.capability))
}

// DisabledError reports a plugin that is installed but not enabled.
type DisabledError struct {
	// Name is the name of the plugin.
	Name string
}

// Error names the plugin.
func (e *DisabledError) Error() string {
	return plaintext.Sprintf("plugin %s found but disabled", e.Name)
}

// Conflict marks the error's class.
func (*DisabledError) Conflict() {}

// InUseError reports a plugin that can't be disabled because it is referenced.
type InUseError struct {
	// Name is the name of the plugin.
	Name string
}

// Error names the plugin.
func (e *InUseError) Error() string {
	return plaintext.Sprintf("plugin %s is in use", e.Name)
}

// Conflict marks the error's class.
func (*InUseError) Conflict() {}

// InvalidSettingError reports an argument that [Plugin.Set] refused. It never
// holds the value, which may be a secret.
type InvalidSettingError struct {
	// Setting is the part of the argument before the equals sign.
	Setting string
	// Reason completes a sentence that begins with the setting's name.
	Reason string
	// Settable lists the settings of this plugin, in the order of its config.
	Settable []string
}

// Error names the setting, the reason and the settings that can be set.
func (e *InvalidSettingError) Error() string {
	settable := "nothing"
	if len(e.Settable) > 0 {
		settable = strings.Join(e.Settable[:min(len(e.Settable), maxProblems)], ", ")
	}
	if more := len(e.Settable) - maxProblems; more > 0 {
		settable += plaintext.Sprintf(" and %d more", more)
	}
	return plaintext.Sprintf("%q %s (settable in this plugin: %s)", e.Setting, e.Reason, settable)
}

// InvalidParameter marks the error's class.
func (*InvalidSettingError) InvalidParameter() {}

// InvalidSpecError reports a config and settings from which no OCI spec can be made.
type InvalidSpecError struct {
	// Name is the name of the plugin.
	Name string
	// Reason describes the problem.
	Reason string
	// Err is the cause; nil if Reason is complete.
	Err error
}

// Error names the plugin and the reason.
func (e *InvalidSpecError) Error() string {
	if e.Err != nil {
		return plaintext.Sprintf("make spec of plugin %q: %s: %v", e.Name, e.Reason, e.Err)
	}
	return plaintext.Sprintf("make spec of plugin %q: %s", e.Name, e.Reason)
}

// Unwrap returns the cause.
func (e *InvalidSpecError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*InvalidSpecError) InvalidParameter() {}

// ChangedGrantError reports a source or a device that leads elsewhere than when it
// was granted, through a directory that a plugin could write to.
type ChangedGrantError struct {
	// Subject is the owner of the path: "device", or "mount at " and its place.
	Subject string
	// Path is the granted source of the mount, or the granted path of the device.
	Path string
	// Link is the link on the way, or the device node, that a plugin may have made.
	Link string
	// Directory is the directory that a plugin can write to, or once could.
	Directory string
	// Granted and Found are the targets of Path at the grant and now: a place, or
	// the types and numbers of device nodes.
	Granted, Found string
	// Damaged is the list of directories that plugins could write to, if it can't be
	// read, so that Directory is only a guess; see [Exposed].
	Damaged string
}

// Error names all fields and the fix.
func (e *ChangedGrantError) Error() string {
	if e.Damaged != "" {
		return plaintext.Sprintf("its %s has the path %s, which leads to %s through %s and led to %s when it was granted: a plugin may have changed that, because the list of directories that plugins could write to is damaged: inspect %s, then set the path again or install the plugin again; repair the list, or remove %s if all such paths are in order",
			e.Subject, e.Path, e.Found, e.Link, e.Granted, e.Link, e.Damaged)
	}
	return plaintext.Sprintf("its %s has the path %s, which leads to %s through %s and led to %s when it was granted: a plugin can write to %s, or once could, and may have changed that: inspect %s, then set the path again or install the plugin again",
		e.Subject, e.Path, e.Found, e.Link, e.Granted, e.Directory, e.Link)
}

// InvalidParameter marks the error's class.
func (*ChangedGrantError) InvalidParameter() {}

// InvalidConfigError reports a config that can't be read or is refused.
type InvalidConfigError struct {
	// Err is the cause, or joins all causes.
	Err error
}

// Error lists the causes, in one line.
func (e *InvalidConfigError) Error() string {
	return plaintext.Sprintf("invalid plugin config: %v", e.Err)
}

// Unwrap returns the cause.
func (e *InvalidConfigError) Unwrap() error { return e.Err }

// InvalidParameter marks the error's class.
func (*InvalidConfigError) InvalidParameter() {}

// ConfigProblemError is one problem of a config. It never holds the value of a
// variable, which may be a secret.
type ConfigProblemError struct {
	// Field is the path of the field in config.json: mounts[0].destination.
	Field string
	// Value is the field's value or its name; it may be empty.
	Value string
	// Reason completes a sentence that begins with field and value.
	Reason string
}

// maxShownBytes is the length at which errors cut a value.
const maxShownBytes = 80

// Error names the field, the value or its beginning, and the reason.
func (e *ConfigProblemError) Error() string {
	value := e.Value
	if len(value) > maxShownBytes {
		value = value[:maxShownBytes] + "..."
	}
	if value == "" {
		return plaintext.Quote(e.Field + " " + e.Reason)
	}
	return plaintext.Sprintf("%s %q %s", e.Field, value, e.Reason)
}

// InvalidParameter marks the error's class.
func (*ConfigProblemError) InvalidParameter() {}

// InvalidRecordError reports a plugin's record that can't be read.
type InvalidRecordError struct {
	// Err is the cause.
	Err error
}

// Error returns the cause.
func (e *InvalidRecordError) Error() string {
	return plaintext.Sprintf("read plugin record: %v", e.Err)
}

// Unwrap returns the cause.
func (e *InvalidRecordError) Unwrap() error { return e.Err }

// System marks the error's class.
func (*InvalidRecordError) System() {}
