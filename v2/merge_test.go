// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
)

// version is a config with one of each kind of setting.
func version(env, source, path, args string, settable bool) types.PluginConfig {
	field := func(name string) []string {
		if !settable {
			return nil
		}
		return []string{name}
	}
	return types.PluginConfig{
		Env:    []types.PluginEnv{{Name: "LEVEL", Value: &env, Settable: field("value")}},
		Mounts: []types.PluginMount{{Name: "data", Source: &source, Destination: "/data", Settable: field("source")}},
		Linux:  types.PluginConfigLinux{Devices: []types.PluginDevice{{Name: "fuse", Path: &path, Settable: field("path")}}},
		Args:   types.PluginConfigArgs{Name: "args", Value: []string{args}, Settable: field("value")},
	}
}

func settingsAfter(t *testing.T, config types.PluginConfig, args ...string) types.PluginSettings {
	t.Helper()
	p := &Plugin{PluginObj: types.Plugin{Config: config}}
	p.InitEmptySettings()
	assert.NilError(t, p.Set(args))
	return p.PluginObj.Settings
}

func TestMergeSettings(t *testing.T) {
	from := version("1", "/old", "/dev/old", "-a", true)
	everything := []string{"LEVEL=9", "data=/mine", "fuse=/dev/mine", "args=-x -y"}
	for _, tc := range []struct {
		name string
		set  []string
		to   types.PluginConfig
		want []string // settings of the new version as Set would make them
		lost []string
	}{
		{"nothing set", nil, version("2", "/new", "/dev/new", "-b", true), nil, nil},
		{"everything set", everything, version("2", "/new", "/dev/new", "-b", true), everything, nil},
		{"one set", []string{"LEVEL=9"}, version("2", "/new", "/dev/new", "-b", true), []string{"LEVEL=9"}, nil},
		{"set to what was the default", []string{"LEVEL=1"}, version("2", "/new", "/dev/new", "-b", true), nil, nil},
		{"set to what is the default now", []string{"LEVEL=2"}, version("2", "/new", "/dev/new", "-b", false), nil, nil},
		{"not settable any more", everything, version("2", "/new", "/dev/new", "-b", false), nil, []string{"LEVEL", "data", "fuse", "args"}},
		{"not settable, not set", nil, version("2", "/new", "/dev/new", "-b", false), nil, nil},
		{"gone", []string{"LEVEL=9"}, types.PluginConfig{}, nil, []string{"LEVEL"}},
		{"gone, not set", nil, types.PluginConfig{}, nil, nil},
		{"gone, and emptied", []string{"LEVEL=", "data=", "fuse="}, types.PluginConfig{}, nil, []string{"LEVEL", "data", "fuse"}},
		{"a path that is the default", []string{"data=/old//", "fuse=/dev/./old"}, types.PluginConfig{}, nil, nil},
		{"a path that is the default now", []string{"data=/new/", "fuse=/x/../dev/new"}, version("2", "/new", "/dev/new", "-b", false), nil, nil},
		{"emptied args", []string{"args="}, version("2", "/new", "/dev/new", "-b", true), []string{"args="}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			merged, err := MergeSettings(from, settingsAfter(t, from, tc.set...), tc.to)
			if tc.lost != nil {
				var lost *LostSettingsError
				assert.Assert(t, errors.As(err, &lost), "%v", err)
				assert.DeepEqual(t, lost.Settings, tc.lost)
				assert.Equal(t, len(lost.Reasons), len(lost.Settings))
				assert.DeepEqual(t, merged, settingsAfter(t, tc.to))
				return
			}
			assert.NilError(t, err)
			want := settingsAfter(t, tc.to, tc.want...)
			if want.Args == nil {
				want.Args = []string{}
			}
			if merged.Args == nil {
				merged.Args = []string{}
			}
			assert.DeepEqual(t, merged, want)
		})
	}
}

// TestMergeOfSettingsWithoutDefault sets what has no default, and takes it back.
func TestMergeOfSettingsWithoutDefault(t *testing.T) {
	from := types.PluginConfig{
		Env:    []types.PluginEnv{{Name: "GONE", Settable: []string{"value"}}},
		Mounts: []types.PluginMount{{Name: "data", Type: "bind", Source: pointer(""), Destination: "/data", Settable: []string{"source"}}},
		Linux:  types.PluginConfigLinux{Devices: []types.PluginDevice{{Name: "fuse", Path: pointer(""), Settable: []string{"path"}}}},
		Args:   types.PluginConfigArgs{Name: "args", Settable: []string{"value"}},
	}
	p := &Plugin{PluginObj: types.Plugin{Config: from}}
	p.InitEmptySettings()
	assert.NilError(t, p.Set([]string{"GONE=1", "data=/srv", "fuse=/dev/fuse", "args=-x"}))
	_, err := MergeSettings(from, p.PluginObj.Settings, types.PluginConfig{})
	assert.Error(t, err, "the new version does not take what was set: GONE is not in the new version, data is not in the new version, "+
		"fuse is not in the new version, args is not in the new version; set the default again first, with NAME= where there is none, "+
		"or upgrade so that these settings are dropped")
	assert.NilError(t, p.Set([]string{"GONE=", "data=", "fuse=", "args="}))
	merged, err := MergeSettings(from, p.PluginObj.Settings, types.PluginConfig{})
	assert.NilError(t, err)
	assert.DeepEqual(t, merged, settingsAfter(t, types.PluginConfig{}))

	same, err := MergeSettings(from, p.PluginObj.Settings, from)
	assert.NilError(t, err)
	assert.DeepEqual(t, same.Env, []string{"GONE="}) // an empty value was set
}

// TestMergeOfWhatCanNotBeSet has settings that differ from defaults that a user
// can't change, as docker's upgrades leave them.
func TestMergeOfWhatCanNotBeSet(t *testing.T) {
	from := version("1", "/old", "/dev/old", "-a", false)
	settings := settingsAfter(t, version("0", "/older", "/dev/older", "-z", false))
	merged, err := MergeSettings(from, settings, version("2", "/new", "/dev/new", "-b", true))
	assert.NilError(t, err)
	want := settingsAfter(t, version("0", "/new", "/dev/new", "-b", true))
	assert.DeepEqual(t, merged, want)
}

// TestMergeGivesNoMore upgrades to versions with a mount that would give the plugin
// more access to a directory than the user chose.
func TestMergeGivesNoMore(t *testing.T) {
	mount := func(typ, destination string, options ...string) types.PluginConfig {
		source := "/default"
		return types.PluginConfig{Mounts: []types.PluginMount{{
			Name: "data", Type: typ, Source: &source, Destination: destination, Options: options, Settable: []string{"source"},
		}}}
	}
	for _, tc := range []struct {
		name     string
		from, to types.PluginConfig
		want     string // empty if the setting is carried over
	}{
		{"the same", mount("bind", "/data", "rbind", "ro"), mount("bind", "/data", "rbind", "ro"), ""},
		{"written differently", mount("bind", "/data", "rbind", "ro"), mount("volume", "data/", "readonly,rbind", "z"), ""},
		{"less", mount("bind", "/data", "rbind"), mount("bind", "/data", "bind", "ro", "nosuid"), ""},
		{"private", mount("bind", "/data", "rbind", "rshared"), mount("bind", "/data", "rbind", "rprivate"), ""},
		{"the last word counts", mount("bind", "/data", "rbind", "ro", "rw"), mount("bind", "/data", "rbind"), ""},
		{"writable", mount("bind", "/data", "rbind", "ro"), mount("bind", "/data", "rbind"), "data is mounted without ro in the new version"},
		{"writable in the end", mount("bind", "/data", "rbind", "ro"), mount("bind", "/data", "rbind", "ro", "rw"), "data is mounted without ro in the new version"},
		{"writable below", mount("bind", "/data", "rbind", "rro"), mount("bind", "/data", "rbind", "ro"), "data is mounted without rro in the new version"},
		{"shared", mount("bind", "/data", "rbind"), mount("bind", "/data", "rbind", "rshared"), "data is mounted with rshared in the new version"},
		{"with what is mounted in it", mount("bind", "/data", "bind"), mount("bind", "/data", "rbind"), "data is mounted with rbind in the new version"},
		{"with devices", mount("bind", "/data", "nodev"), mount("bind", "/data"), "data is mounted without nodev in the new version"},
		{"elsewhere", mount("bind", "/data"), mount("bind", "/etc"), "data is mounted at /etc in the new version, it was at /data"},
		{"in another way", mount("bind", "/data"), mount("ext4", "/data"), "data is mounted in another way in the new version: its type is ext4"},
		{"with other data", mount("nfs", "/data", "ro"), mount("nfs", "/data", "rw"), "data is mounted with other options in the new version: rw"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			merged, err := MergeSettings(tc.from, settingsAfter(t, tc.from, "data=/mine"), tc.to)
			want := "/mine"
			if tc.want != "" {
				assert.ErrorContains(t, err, tc.want)
				want = "/default"
			} else {
				assert.NilError(t, err)
			}
			assert.Equal(t, *merged.Mounts[0].Source, want)
			_, err = MergeSettings(tc.from, settingsAfter(t, tc.from), tc.to)
			assert.NilError(t, err, "nothing was set")
		})
	}
}

func TestMergeKeepsWhatTheDaemonAdded(t *testing.T) {
	from, to := version("1", "/old", "/dev/old", "-a", true), version("2", "/new", "/dev/new", "-b", true)
	settings := settingsAfter(t, from)
	settings.Env = append(settings.Env, "SERVICE=s1")
	merged, err := MergeSettings(from, settings, to)
	assert.NilError(t, err)
	assert.DeepEqual(t, merged.Env, []string{"LEVEL=2", "SERVICE=s1"})
}

func TestMergeSharesNoMemory(t *testing.T) {
	from, to := version("1", "/old", "/dev/old", "-a", true), version("2", "/new", "/dev/new", "-b", true)
	settings := settingsAfter(t, from, "args=-x")
	merged, err := MergeSettings(from, settings, to)
	assert.NilError(t, err)
	merged.Args[0] = "changed"
	*merged.Mounts[0].Source = "changed"
	assert.Equal(t, settings.Args[0], "-x")
	assert.Equal(t, *to.Mounts[0].Source, "/new")
}
