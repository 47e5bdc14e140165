// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

// recorded returns the mounts that docker reads from a record, and the original
// sources.
func recorded(t *testing.T, p *Plugin) (mounts []types.PluginMount, own []*string) {
	t.Helper()
	data, err := json.Marshal(p)
	assert.NilError(t, err)
	var read struct {
		Plugin       types.Plugin `json:"plugin"`
		MountSources []*string
	}
	assert.NilError(t, json.Unmarshal(data, &read))
	return read.Plugin.Config.Mounts, read.MountSources
}

func TestRecordHasSetSourcesWhereDockerReadsThem(t *testing.T) {
	p := example()
	before := p.Snapshot()
	_, own := recorded(t, p)
	assert.Equal(t, len(own), 0, "nothing was set")

	assert.NilError(t, p.Set([]string{"state=/other", "fuse=/dev/other"}))
	mounts, own := recorded(t, p)
	assert.Equal(t, *mounts[0].Source, "/other")
	assert.Equal(t, len(own), len(mounts))
	assert.Equal(t, *own[0], *before.Config.Mounts[0].Source)
	assert.DeepEqual(t, p.PluginObj.Config, before.Config) // memory is unchanged

	data, err := json.Marshal(p)
	assert.NilError(t, err)
	var read Plugin
	assert.NilError(t, json.Unmarshal(data, &read))
	assert.DeepEqual(t, read.PluginObj, p.PluginObj)
	again, err := json.Marshal(&read)
	assert.NilError(t, err)
	assert.Equal(t, string(again), string(data))

	assert.NilError(t, read.Set([]string{"state=" + *before.Config.Mounts[0].Source}))
	_, own = recorded(t, &read)
	assert.Equal(t, len(own), 0, "the default was set again")
}

func TestRecordOfSourcesThatAreNotThere(t *testing.T) {
	source := func(s string) *string { return &s }
	tests := []struct {
		name        string
		config, set *string
		settable    []string
		wantWritten *string
		wantOwn     []*string
	}{
		{"none, none set", nil, nil, []string{"source"}, nil, nil},
		{"none, one set", nil, source("/set"), []string{"source"}, source("/set"), []*string{nil}},
		{"set to none", source("/own"), nil, []string{"source"}, nil, []*string{source("/own")}},
		{"the same", source("/own"), source("/own"), []string{"source"}, source("/own"), nil},
		{"not settable", source("/own"), source("/set"), nil, source("/own"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &Plugin{}
			p.PluginObj.Config.Mounts = []types.PluginMount{{Name: "m", Source: tt.config, Settable: tt.settable}}
			p.PluginObj.Settings.Mounts = []types.PluginMount{{Name: "m", Source: tt.set}}
			mounts, own := recorded(t, p)
			assert.DeepEqual(t, mounts[0].Source, tt.wantWritten)
			assert.DeepEqual(t, own, tt.wantOwn)
		})
	}
}

// A program that knows nothing of the sources may have changed the mounts.
func TestRecordIgnoresSourcesOfAnotherConfig(t *testing.T) {
	var p Plugin
	assert.NilError(t, json.Unmarshal([]byte(`{"plugin":{"Config":{"Mounts":[{"Name":"m","Source":"/a"}]}},"MountSources":["/b","/c"]}`), &p))
	assert.Equal(t, *p.PluginObj.Config.Mounts[0].Source, "/a")
}
