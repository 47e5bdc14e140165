// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/compat/internal/subject"
	"github.com/dovetailhq/plugin/plugintest"
)

func text(s string) *string { return &s }

// config has one of each thing that a record can hold.
func config(documentation string) types.PluginConfig {
	c := plugintest.Config("docker.volumedriver/1.0", "docker.networkdriver/1.0")
	c.Documentation = documentation
	// This directory must not exist on the host. When docker's manager starts
	// with a plugin that was never changed since its creation, it takes the
	// plugin's path for a path of the host, and moves that into the current
	// directory.
	c.PropagatedMount = "/dovetail-propagated"
	c.WorkDir = "/work"
	c.Network.Type = "host"
	c.Env = []types.PluginEnv{{Name: "A", Value: text("1"), Settable: []string{"value"}}, {Name: "B", Value: text("2")}}
	c.Mounts = []types.PluginMount{{Name: "data", Source: text("/tmp"), Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}}
	c.Linux = types.PluginConfigLinux{
		Capabilities: []string{"CAP_SYS_ADMIN"},
		Devices:      []types.PluginDevice{{Name: "null", Path: text("/dev/null"), Settable: []string{"path"}}},
	}
	c.Args = types.PluginConfigArgs{Name: "args", Value: []string{"--quiet"}, Settable: []string{"value"}}
	return c
}

func create(t *testing.T, s subject.Subject, name string) {
	t.Helper()
	buildContext := plugintest.BuildContext(config(name), map[string]string{"plugin": "a program of " + name, "etc/name": name})
	assert.NilError(t, s.CreateFromContext(t.Context(), buildContext, &types.PluginCreateOptions{RepoName: name}))
}

func TestManagersTakeTurns(t *testing.T) {
	tests := []struct {
		name        string
		first, next subject.Start
		liveRestore bool
		// keepsManifests reports whether the GC of next keeps manifests.
		keepsManifests bool
	}{
		{"docker, then ours", subject.Docker, subject.Dovetail, false, true},
		{"docker, then ours, with live restore", subject.Docker, subject.Dovetail, true, true},
		{"ours, then docker", subject.Dovetail, subject.Docker, false, false},
		{"ours, then docker, with live restore", subject.Dovetail, subject.Docker, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.liveRestore)
			var before map[string]types.Plugin
			h.under(tt.first, func(s subject.Subject) {
				for _, name := range []string{"dovetail/running:latest", "dovetail/set:v2", "example.com:5000/dovetail/plain:v3"} {
					create(t, s, name)
				}
				for _, name := range []string{"dovetail/running", "dovetail/set:v2"} {
					assert.NilError(t, s.Set(name, []string{"A=new value", "data.source=/srv", "null.path=/dev/zero", "args=--one --two"}))
				}
				assert.NilError(t, s.Enable("dovetail/running", &backend.PluginEnableConfig{Timeout: 5}))
				before = list(t, s)
			})
			h.checkBlobs(true)
			running := before["dovetail/running:latest"].ID

			h.under(tt.next, func(s subject.Subject) {
				assertSame(t, list(t, s), before)
				h.assertRuns(running)

				assert.NilError(t, s.Disable("dovetail/running", &backend.PluginDisableConfig{}))
				assert.NilError(t, s.Set("dovetail/running", []string{"A=newest"}))
				assert.NilError(t, s.Enable("dovetail/running", &backend.PluginEnableConfig{Timeout: 5}))
				assert.NilError(t, s.Enable("example.com:5000/dovetail/plain:v3", &backend.PluginEnableConfig{}))
				assert.NilError(t, s.Remove("dovetail/set:v2", &backend.PluginRmConfig{}))
				s.GC()
				h.checkBlobs(tt.keepsManifests)
				before = list(t, s)
			})

			h.under(tt.first, func(s subject.Subject) {
				assertSame(t, list(t, s), before)
				assert.NilError(t, s.Remove("dovetail/running", &backend.PluginRmConfig{ForceRemove: true}))
				assert.NilError(t, s.Remove("example.com:5000/dovetail/plain:v3", &backend.PluginRmConfig{ForceRemove: true}))
			})
			assert.Equal(t, len(h.records()), 0)
		})
	}
}

// assertSame compares the answers of two managers about the same plugins.
// Docker's manager loses the reference of a plugin that was never changed since
// its creation, and shows its name instead. It also shows the source of a mount
// that is set as the config's.
func assertSame(t *testing.T, got, want map[string]types.Plugin) {
	t.Helper()
	for _, all := range []map[string]types.Plugin{got, want} {
		for name, p := range all {
			if p.PluginReference == "" {
				p.PluginReference = name
			}
			p.Config.Mounts = slices.Clone(p.Config.Mounts)
			for i, set := range p.Settings.Mounts {
				p.Config.Mounts[i].Source = set.Source
			}
			all[name] = p
		}
	}
	assert.DeepEqual(t, got, want)
}

// assertRuns checks that a plugin runs: the process of the last manager, or a
// new one from the same spec, except for the order of mounts.
func (h *host) assertRuns(id string) {
	h.t.Helper()
	alive, err := h.executor.IsRunning(id)
	assert.NilError(h.t, err)
	assert.Check(h.t, alive)
	asked := h.executor.Specs(id)
	if h.config.LiveRestore {
		assert.Equal(h.t, len(asked), 1)
		return
	}
	assert.Equal(h.t, len(asked), 2)
	was, is := asked[0], asked[1]
	was.Mounts, is.Mounts = byDestination(was.Mounts), byDestination(is.Mounts)
	assert.Equal(h.t, sourceOf(is, "/data"), "/srv")
	assert.DeepEqual(h.t, is, was)
}

func sourceOf(spec specs.Spec, destination string) string {
	for _, mount := range spec.Mounts {
		if mount.Destination == destination {
			return mount.Source
		}
	}
	return ""
}

func byDestination(mounts []specs.Mount) []specs.Mount {
	return slices.SortedFunc(slices.Values(mounts), func(a, b specs.Mount) int { return strings.Compare(a.Destination, b.Destination) })
}

// Both managers write the same record for the same plugin.
func TestRecordsAreAlike(t *testing.T) {
	written := map[string]record{}
	for name, start := range subject.All() {
		h := newHost(t, false)
		h.under(start, func(s subject.Subject) {
			create(t, s, "dovetail/one:latest")
			assert.NilError(t, s.Set("dovetail/one", []string{"A=3"}))
		})
		h.checkBlobs(true)
		r := h.records()["dovetail/one:latest"]
		assert.Equal(t, len(r.Blobsums), 1)
		assert.Equal(t, len(r.Plugin.Config.Rootfs.DiffIds), 1)
		// These differ between installs, hosts and tar writers.
		r.Rootfs, r.Plugin.ID = "", ""
		r.Config, r.Manifest, r.Blobsums, r.Plugin.Config.Rootfs.DiffIds = "", "", nil, nil
		written[name] = r
	}
	assert.DeepEqual(t, slices.Sorted(maps.Keys(written)), []string{"docker", "dovetail"})
	assert.DeepEqual(t, written["dovetail"], written["docker"])
}
