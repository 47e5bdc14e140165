package history

import "fmt"

// Operation is one verb.
type Operation struct {
	Verb string
	// Name is the plugin's; empty for a verb that is about none.
	Name string `json:",omitempty"`
	// Value is the version to create, pull or upgrade to, or what to set.
	Value string `json:",omitempty"`
	Force bool   `json:",omitempty"`
}

// State is what a user sees of a plugin. The zero value is that of one that is
// not installed.
type State struct {
	Installed bool
	Enabled   bool   `json:",omitempty"`
	Debug     string `json:",omitempty"` // the setting that is changed
	Version   string `json:",omitempty"` // the content
}

// DefaultDebug is the setting of a plugin as it is created.
const DefaultDebug = "0"

// Class is what kind of answer a verb gets.
type Class string

// The answers that are expected. Any other error has the class Unexpected.
const (
	Done       Class = ""
	NotFound   Class = "not found"
	Conflict   Class = "conflict"
	Unexpected Class = "unexpected"
)

// Apply returns what becomes of a plugin, and which answer is right.
func (s State) Apply(op Operation) (State, Class) {
	switch {
	case op.Name == "":
		return s, Done
	case op.Verb == "create", op.Verb == "pull":
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
