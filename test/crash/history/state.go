// SPDX-License-Identifier: Apache-2.0

package history

import "fmt"

// Operation is one verb.
type Operation struct {
	Verb string
	// Name is the plugin's name. Empty is a verb without a plugin.
	Name string `json:",omitempty"`
	// Value is the version to create, pull, import or upgrade to, or the setting.
	Value string `json:",omitempty"`
	Force bool   `json:",omitempty"`
}

// State is the state of a plugin that a user sees. The zero value is a plugin
// that is not installed.
type State struct {
	Installed bool
	Enabled   bool   `json:",omitempty"`
	Debug     string `json:",omitempty"` // the setting that verbs change
	Version   string `json:",omitempty"` // the content
}

// DefaultDebug is the setting of a new plugin.
const DefaultDebug = "0"

// Class is the class of a verb's result.
type Class string

// The expected classes. Any other error has the class Unexpected.
const (
	Done       Class = ""
	NotFound   Class = "not found"
	Conflict   Class = "conflict"
	Unexpected Class = "unexpected"
)

// Apply returns the state of a plugin after an operation, and the right result.
func (s State) Apply(op Operation) (State, Class) {
	switch {
	case op.Name == "":
		return s, Done
	case op.Verb == "create", op.Verb == "pull", op.Verb == "import":
		if s.Installed {
			return s, Conflict
		}
		return State{Installed: true, Debug: DefaultDebug, Version: op.Value}, Done
	case !s.Installed:
		return s, NotFound
	}
	next, possible := s, true
	switch op.Verb {
	case "enable":
		next.Enabled, possible = true, !s.Enabled
	case "disable":
		next.Enabled, possible = false, s.Enabled
	case "set":
		next.Debug, possible = op.Value, !s.Enabled
	case "upgrade":
		next.Version, possible = op.Value, !s.Enabled
	case "remove":
		next, possible = State{}, !s.Enabled || op.Force
	default:
		panic(fmt.Sprintf("history: unknown verb %q", op.Verb))
	}
	if !possible {
		return s, Conflict
	}
	return next, Done
}
