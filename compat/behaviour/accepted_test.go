// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

func TestSeenExplains(t *testing.T) {
	deviation := Deviation{Key{"create/no config", "text"}, "config not found", "config.json is missing"}
	tests := []struct {
		name string
		seen Seen
		want bool
	}{
		{"word by word", Seen{"create/no config", "text", "config not found", "config.json is missing"}, true},
		{"by stars", Seen{"create/*", "t*", "*not*", "*"}, true},
		{"one of several", Seen{"set/*|create/*", "class|text", "*", "*"}, true},
		{"anything but nothing", Seen{"*", "*", "+", "+"}, true},
		{"another step", Seen{"create", "*", "*", "*"}, false},
		{"another aspect", Seen{"*", "class", "*", "*"}, false},
		{"another text of docker's", Seen{"*", "*", "config", "*"}, false},
		{"another text of ours", Seen{"*", "*", "*", ""}, false},
		{"a dot is a dot", Seen{"*", "*", "*", "config?json is missing"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.seen.explains(deviation), tt.want)
		})
	}
	empty := Deviation{Key{"s", "text"}, "", "x"}
	assert.Check(t, !Seen{"*", "*", something, "*"}.explains(empty))
	assert.Check(t, Seen{"*", "*", anything, "x"}.explains(empty))
}

func TestAccount(t *testing.T) {
	explained, other := Deviation{Key{"a", "text"}, "1", "2"}, Deviation{Key{"b", "text"}, "1", "2"}
	used, shadowed, idle := Seen{"a", "text", "1", "2"}, Seen{"a", "*", "*", "*"}, Seen{"c", "text", "1", "2"}
	groups := []Group{{"one", []Difference{{Seen: []Seen{used}}}}, {"two", []Difference{{Seen: []Seen{shadowed, idle}}}}}
	unexplained, left := Account([]Deviation{explained, other}, groups)
	assert.DeepEqual(t, unexplained, []Deviation{other})
	assert.DeepEqual(t, left, []Seen{shadowed, idle})
}

func TestCompare(t *testing.T) {
	docker := Recording{{"s", "class"}: "ok", {"s", "log"}: "create", {"s", "spec.cwd"}: "/", {"s", "spec.user"}: "0", {"t", "spec.cwd"}: "/"}
	ours := Recording{{"s", "class"}: "ok", {"s", "text"}: "no", {"s", "spec.cwd"}: "/", {"s", "spec.user"}: "1", {"u", "tree[a]"}: "file", {"u", "tree[b]"}: "file"}
	assert.DeepEqual(t, Compare(docker, ours), []Deviation{
		{Key{"s", "log"}, "create", ""},
		{Key{"s", "spec.user"}, "0", "1"},
		{Key{"s", "text"}, "", "no"},
		{Key{"t", "spec"}, seen, ""},
		{Key{"u", "tree"}, "", seen},
	})
}

func TestFlatten(t *testing.T) {
	tests := []struct {
		name  string
		value any
		want  map[string]string
	}{
		{"text", "a", map[string]string{"x": "a"}},
		{"number", 1, map[string]string{"x": "1"}},
		{"nothing", nil, map[string]string{"x": "null"}},
		{"list", []string{"a", "b"}, map[string]string{"x": `["a","b"]`}},
		{"empty list", []string{}, map[string]string{"x": "[]"}},
		{"object", map[string]any{"a": 1, "b": map[string]any{"c": true}}, map[string]string{"x.a": "1", "x.b.c": "true"}},
		{
			"named objects", []map[string]any{{"destination": "/a", "o": 1}, {"destination": "/b", "o": 2}, {"destination": "/a"}, {"p": 3}},
			map[string]string{
				"x": "/a /b /a #2 ", "x[/a].destination": `"/a"`, "x[/a].o": "1", "x[/b].destination": `"/b"`, "x[/b].o": "2",
				"x[/a #2].destination": `"/a"`, "x[].p": "3",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.DeepEqual(t, flatten("x", tt.value), tt.want)
		})
	}
}

func TestDocumentNamesScenarios(t *testing.T) {
	var scenarios []Scenario
	for _, name := range []string{"create", "set", "set twice", "pull", "push", "upgrade", "list"} {
		scenarios = append(scenarios, Scenario{Name: name})
	}
	tests := []struct{ name, steps, want string }{
		{"one", "set/a", "set"},
		{"some", "set*/a|create/b", "create, set, set twice"},
		{"many", "*", "many"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			groups := []Group{{"Verbs", []Difference{{Docker: "does", Ours: "does not", Why: "it is better", Seen: []Seen{{tt.steps, "*", "*", "*"}}}}}}
			written := Document(groups, scenarios)
			assert.Check(t, strings.HasSuffix(written, "\n## Verbs\n\n| docker | Dovetail | why | seen in |\n|---|---|---|---|\n| does | does not | it is better | "+tt.want+" |\n"), written)
		})
	}
}

// The texts of a difference fit into one line of a table.
func TestAcceptedIsReadable(t *testing.T) {
	for _, group := range Accepted {
		for _, d := range group.Differences {
			for _, words := range []string{d.Docker, d.Ours, d.Why} {
				assert.Check(t, words != "" && len(words) < 200 && !strings.ContainsAny(words, "|\n"), "%q", words)
			}
			assert.Check(t, len(d.Seen) > 0, d.Docker)
		}
	}
}
