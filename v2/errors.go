package v2

import (
	"strings"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// ErrInadequateCapability says that a plugin lacks the capability asked for.
// It has no error class, as docker's has none.
type ErrInadequateCapability struct {
	capability string
}

// Error names the capability, in lower case as it was looked for.
func (e ErrInadequateCapability) Error() string {
	return plaintext.Sprintf("plugin does not provide %q capability", strings.ToLower(e.capability))
}

// ErrDisabled says that a plugin is there but not enabled.
type ErrDisabled struct {
	// Name is the name of the plugin.
	Name string
}

// Error names the plugin.
func (e ErrDisabled) Error() string {
	return plaintext.Sprintf("plugin %s found but disabled", e.Name)
}

// Conflict is the error's class.
func (ErrDisabled) Conflict() {}

// ErrInUse says that a plugin can't be disabled because it is referenced.
type ErrInUse struct {
	// Name is the name of the plugin.
	Name string
}

// Error names the plugin.
func (e ErrInUse) Error() string {
	return plaintext.Sprintf("plugin %s is in use", e.Name)
}

// Conflict is the error's class.
func (ErrInUse) Conflict() {}

// ErrInvalidSetting says why an argument of [Plugin.Set] was refused. It never
// holds the value, which may be a secret.
type ErrInvalidSetting struct {
	// Setting is what the argument names, the part before the equals sign.
	Setting string
	// Reason says what is wrong with it; it continues the setting's name to a
	// sentence.
	Reason string
	// Settable is what can be set in this plugin, in the order of its config.
	Settable []string
}

// Error names the setting, the reason and what can be set.
func (e ErrInvalidSetting) Error() string {
	settable := "nothing"
	if len(e.Settable) > 0 {
		settable = strings.Join(e.Settable[:min(len(e.Settable), maxProblems)], ", ")
	}
	if more := len(e.Settable) - maxProblems; more > 0 {
		settable += plaintext.Sprintf(" and %d more", more)
	}
	return plaintext.Sprintf("%q %s (settable in this plugin: %s)", e.Setting, e.Reason, settable)
}

// InvalidParameter is the error's class.
func (ErrInvalidSetting) InvalidParameter() {}

// ErrInvalidSpec says why no OCI spec can be made from a plugin's config and
// settings.
type ErrInvalidSpec struct {
	// Name is the name of the plugin.
	Name string
	// Reason says what is wrong.
	Reason string
	// Err is the cause, nil if Reason says it all.
	Err error
}

// Error names the plugin and the reason.
func (e ErrInvalidSpec) Error() string {
	if e.Err != nil {
		return plaintext.Sprintf("make spec of plugin %q: %s: %v", e.Name, e.Reason, e.Err)
	}
	return plaintext.Sprintf("make spec of plugin %q: %s", e.Name, e.Reason)
}

// Unwrap returns the cause.
func (e ErrInvalidSpec) Unwrap() error { return e.Err }

// InvalidParameter is the error's class.
func (ErrInvalidSpec) InvalidParameter() {}

// ErrInvalidConfig says that a plugin's config can't be read, or asks for what
// can't be.
type ErrInvalidConfig struct {
	// Err is the cause, or joins all causes.
	Err error
}

// Error tells the causes, in one line.
func (e ErrInvalidConfig) Error() string {
	return plaintext.Sprintf("invalid plugin config: %v", e.Err)
}

// Unwrap returns the cause.
func (e ErrInvalidConfig) Unwrap() error { return e.Err }

// InvalidParameter is the error's class.
func (ErrInvalidConfig) InvalidParameter() {}

// ErrConfigProblem is one thing that is wrong with a config. It never holds the
// value of a variable, which may be a secret.
type ErrConfigProblem struct {
	// Field is where it is, as in config.json: mounts[0].destination.
	Field string
	// Value is what is there, or names what is; it may be empty.
	Value string
	// Reason continues field and value to a sentence.
	Reason string
}

// maxShownBytes is how much of a value errors show.
const maxShownBytes = 80

// Error names the field, the value, or its beginning, and the reason.
func (e ErrConfigProblem) Error() string {
	value := e.Value
	if len(value) > maxShownBytes {
		value = value[:maxShownBytes] + "..."
	}
	if value == "" {
		return plaintext.Quote(e.Field + " " + e.Reason)
	}
	return plaintext.Sprintf("%s %q %s", e.Field, value, e.Reason)
}

// InvalidParameter is the error's class.
func (ErrConfigProblem) InvalidParameter() {}

// ErrInvalidRecord says that a plugin's record can't be read.
type ErrInvalidRecord struct {
	// Err is the cause.
	Err error
}

// Error tells the cause.
func (e ErrInvalidRecord) Error() string { return plaintext.Sprintf("read plugin record: %v", e.Err) }

// Unwrap returns the cause.
func (e ErrInvalidRecord) Unwrap() error { return e.Err }

// System is the error's class.
func (ErrInvalidRecord) System() {}
