// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	v2 "github.com/dovetailhq/plugin/v2"
)

func TestWithEnv(t *testing.T) {
	value := func(text string) *string { return &text }
	config := types.PluginConfig{Env: []types.PluginEnv{
		{Name: "DEBUG", Value: value("0")},
		{Name: "UNSET"},
		{Name: "EMPTY", Value: value("")},
		{Name: "PATH", Value: value("/bin")},
	}}
	for _, tt := range []struct {
		name string
		set  []string
		env  []string
		want []string
	}{
		{"defaults alone", nil, nil, []string{"DEBUG=0", "EMPTY=", "PATH=/bin"}},
		{"a default is replaced in its place", nil, []string{"EMPTY=x=y"}, []string{"DEBUG=0", "EMPTY=x=y", "PATH=/bin"}},
		{"additions in their order", nil, []string{"Z=1", "A=2", "UNSET=3"}, []string{"DEBUG=0", "EMPTY=", "PATH=/bin", "Z=1", "A=2", "UNSET=3"}},
		{"what is set stays", []string{"PATH=/sbin", "ADDED=1"}, []string{"Z=1"}, []string{"DEBUG=0", "EMPTY=", "PATH=/sbin", "ADDED=1", "Z=1"}},
		{"what is set is replaced", []string{"PATH=/sbin", "ADDED=1"}, []string{"ADDED=2"}, []string{"DEBUG=0", "EMPTY=", "PATH=/sbin", "ADDED=2"}},
		{"the last one wins", nil, []string{"A=1", "debug=x", "A=2"}, []string{"DEBUG=0", "EMPTY=", "PATH=/bin", "A=2", "debug=x"}},
		{"no variables", nil, []string{"A", "=x", ""}, []string{"DEBUG=0", "EMPTY=", "PATH=/bin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &v2.Plugin{PluginObj: types.Plugin{Config: config, Settings: types.PluginSettings{Env: tt.set}}}
			WithEnv(tt.env)(p)
			assert.DeepEqual(t, p.PluginObj.Settings.Env, tt.want)
			WithEnv(tt.env)(p)
			assert.DeepEqual(t, p.PluginObj.Settings.Env, tt.want)
		})
	}
}
