// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
)

// record is a small record with more inserted after a comma.
func record(top, plugin, config, mount string) string {
	return `{"plugin":{"Name":"a","Config":{"Mounts":[{"Name":"m"` + mount + `}]` + config + `}` + plugin + `},"Rootfs":"/r"` + top + `}`
}

func TestUnknownMembersSurvive(t *testing.T) {
	tests := []struct {
		name string
		data string
		want string
	}{
		{"at the top", record(`,"Future":{"a":[1,2.50]}`, "", "", ""), `"Future":{"a":[1,2.50]}`},
		{"in the plugin", record("", `,"Future":null`, "", ""), `"Future":null`},
		{"in the config", record("", "", `,"Future":12345678901234567890`, ""), `"Future":12345678901234567890`},
		{"in an element of a list", record("", "", "", `,"Future":"<&>"`), "\"Future\":\"\\u003c\\u0026\\u003e\""},
		{"next to a twin in other case", record(`,"future":1,"FUTURE":2`, "", "", ""), `"FUTURE":2`},
		{"below a key in other case", `{"PLUGIN":{"name":"a","Future":1}}`, `"Future":1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := new(Plugin)
			assert.NilError(t, json.Unmarshal([]byte(tt.data), p))
			assert.Equal(t, p.Name(), "a")
			written := string(encode(p))
			assert.Assert(t, strings.Contains(written, tt.want), "%s", written)
			assert.Equal(t, string(encode(p.Clone())), written)

			again := new(Plugin)
			assert.NilError(t, json.Unmarshal([]byte(written), again))
			assert.Equal(t, string(encode(again)), written)
		})
	}
}

func TestUnknownMembersSurviveAChange(t *testing.T) {
	p := new(Plugin)
	data := record(`,"Future":1`, `,"Future":2,"PluginReference":"docker.io/library/a:1"`, `,"Env":[{"Name":"A","Settable":["value"]}]`, `,"Future":3`)
	assert.NilError(t, json.Unmarshal([]byte(data), p))
	assert.NilError(t, p.Set([]string{"A=1"}))
	p.SetEnabled(true)
	p.PluginObj.PluginReference = ""
	p.PluginObj.Config.Description = "changed"

	written := string(encode(p))
	for _, future := range []string{`"Future":1`, `"Future":2`, `"Future":3`, `"Enabled":true`, `"Env":["A=1"]`, `"Description":"changed"`} {
		assert.Check(t, strings.Contains(written, future), "%s lacks %s", written, future)
	}
	assert.Check(t, !strings.Contains(written, "PluginReference"), "%s has what was deleted", written)
}

func TestUnknownMembersOfAChangedElementAreDropped(t *testing.T) {
	p := new(Plugin)
	assert.NilError(t, json.Unmarshal([]byte(record("", "", "", `,"Future":3`)), p))
	p.PluginObj.Config.Mounts[0].Name = "another"
	assert.Assert(t, !strings.Contains(string(encode(p)), "Future"))
	p.PluginObj.Config.Mounts = nil
	assert.Assert(t, !strings.Contains(string(encode(p)), "Future"))
}

func TestReplaceDataReplacesWhatIsUnknownOfThePlugin(t *testing.T) {
	tests := []struct {
		name     string
		old, new string
		want     []string
		gone     []string
	}{
		{"neither knows more", record("", "", "", ""), record("", "", "", ""), nil, []string{"F"}},
		{
			"both know more",
			record(`,"F1":1`, `,"F2":1`, `,"F3":1`, ""), record(`,"F4":1`, `,"F5":1`, `,"F6":1`, ""),
			[]string{"F1", "F5", "F6"}, []string{"F2", "F3", "F4"},
		},
		{"the old one", record(`,"F1":1`, `,"F2":1`, "", ""), record("", "", "", ""), []string{"F1"}, []string{"F2"}},
		{"the new one", record("", "", "", ""), record(`,"F4":1`, `,"F5":1`, "", ""), []string{"F5"}, []string{"F4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, next := new(Plugin), new(Plugin)
			assert.NilError(t, json.Unmarshal([]byte(tt.old), p))
			assert.NilError(t, json.Unmarshal([]byte(tt.new), next))
			p.ReplaceData(next)
			written := string(encode(p))
			for _, name := range tt.want {
				assert.Check(t, strings.Contains(written, `"`+name+`":1`), "%s lacks %s", written, name)
			}
			for _, name := range tt.gone {
				assert.Check(t, !strings.Contains(written, `"`+name+`":`), "%s has %s", written, name)
			}
		})
	}
}
