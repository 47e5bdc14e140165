// SPDX-License-Identifier: Apache-2.0

package history

import (
	"testing"

	"gotest.tools/v3/assert"
)

func TestApply(t *testing.T) {
	off := State{Installed: true, Debug: "0", Version: "v1"}
	on := State{Installed: true, Enabled: true, Debug: "0", Version: "v1"}
	changed := State{Installed: true, Debug: "7", Version: "v1"}
	tests := []struct {
		name  string
		from  State
		op    Operation
		want  State
		class Class
	}{
		{"create", State{}, Operation{Verb: "create", Name: "p", Value: "v1"}, off, Done},
		{"import", State{}, Operation{Verb: "import", Name: "p", Value: "v1"}, off, Done},
		{"create again", off, Operation{Verb: "create", Name: "p", Value: "v2"}, off, Conflict},
		{"pull", State{}, Operation{Verb: "pull", Name: "p", Value: "v1"}, off, Done},
		{"pull again", on, Operation{Verb: "pull", Name: "p", Value: "v1"}, on, Conflict},
		{"upgrade", changed, Operation{Verb: "upgrade", Name: "p", Value: "v2"}, State{Installed: true, Debug: "7", Version: "v2"}, Done},
		{"upgrade while enabled", on, Operation{Verb: "upgrade", Name: "p", Value: "v2"}, on, Conflict},
		{"upgrade nothing", State{}, Operation{Verb: "upgrade", Name: "p", Value: "v2"}, State{}, NotFound},
		{"enable", off, Operation{Verb: "enable", Name: "p"}, on, Done},
		{"enable again", on, Operation{Verb: "enable", Name: "p"}, on, Conflict},
		{"enable nothing", State{}, Operation{Verb: "enable", Name: "p"}, State{}, NotFound},
		{"disable", on, Operation{Verb: "disable", Name: "p"}, off, Done},
		{"disable again", off, Operation{Verb: "disable", Name: "p", Force: true}, off, Conflict},
		{"set", off, Operation{Verb: "set", Name: "p", Value: "7"}, changed, Done},
		{"set while enabled", on, Operation{Verb: "set", Name: "p", Value: "7"}, on, Conflict},
		{"remove", off, Operation{Verb: "remove", Name: "p"}, State{}, Done},
		{"remove while enabled", on, Operation{Verb: "remove", Name: "p"}, on, Conflict},
		{"remove by force", on, Operation{Verb: "remove", Name: "p", Force: true}, State{}, Done},
		{"remove nothing", State{}, Operation{Verb: "remove", Name: "p", Force: true}, State{}, NotFound},
		{"collect", State{}, Operation{Verb: "collect"}, State{}, Done},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, class := tt.from.Apply(tt.op)
			assert.Equal(t, got, tt.want)
			assert.Equal(t, class, tt.class)
		})
	}
}

func TestApplyUnknownVerb(t *testing.T) {
	defer func() { assert.Equal(t, recover(), `history: unknown verb "sing"`) }()
	State{Installed: true}.Apply(Operation{Verb: "sing", Name: "p"})
}
