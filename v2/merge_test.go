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
		{"emptied args", []string{"args="}, version("2", "/new", "/dev/new", "-b", true), []string{"args="}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			merged, err := MergeSettings(from, settingsAfter(t, from, tc.set...), tc.to)
			if tc.lost != nil {
				var lost ErrLostSettings
				assert.Assert(t, errors.As(err, &lost), "%v", err)
				assert.DeepEqual(t, lost.Settings, tc.lost)
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
