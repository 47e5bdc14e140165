// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
)

// TestUpgradeKeepsWhatDockerSet: docker's Set also writes into the config of the
// record, which then no longer shows that a value was set.
func TestUpgradeKeepsWhatDockerSet(t *testing.T) {
	w, _, host := newConnectedWorld(t)
	var grants types.PluginPrivileges
	for _, version := range []string{"v1", "v2"} {
		source, path := "/usr", "/dev/null"
		config := plugintest.Config("docker.volumedriver/1.0")
		config.Documentation = version
		config.Mounts = []types.PluginMount{{Name: "data", Source: &source, Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}}
		config.Linux.Devices = []types.PluginDevice{{Name: "null", Path: &path, Settable: []string{"path"}}}
		ref := host + "/group/plugin:" + version
		assert.NilError(t, w.CreateConfig(ref, config))
		w.push(ref)
		assert.NilError(t, w.Remove(ref, nil))
		var err error
		grants, err = w.Privileges(context.Background(), testworld.Named(t, ref), nil, nil)
		assert.NilError(t, err)
	}
	_, err := w.pull(host+"/group/plugin:v1", "mine", grants)
	assert.NilError(t, err)
	id := w.ID("mine")

	w.Shutdown()
	record := filepath.Join(w.Config.Root, id, "config.json")
	data, err := os.ReadFile(record)
	assert.NilError(t, err)
	var members map[string]any
	assert.NilError(t, json.Unmarshal(data, &members))
	p := members["plugin"].(map[string]any)
	config, settings := p["Config"].(map[string]any), p["Settings"].(map[string]any)
	for _, mounts := range []any{config["Mounts"], settings["Mounts"]} {
		mounts.([]any)[0].(map[string]any)["Source"] = "/srv"
	}
	for _, devices := range []any{config["Linux"].(map[string]any)["Devices"], settings["Devices"]} {
		devices.([]any)[0].(map[string]any)["Path"] = "/dev/zero"
	}
	data, err = json.Marshal(members)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(record, data, 0o600))
	w.start()
	assert.NilError(t, plugintest.CheckRoot(w.Config.Root, plugintest.RootCheck{Manager: w.Manager}))

	assert.NilError(t, w.upgrade(host+"/group/plugin:v2", "mine", grants))
	upgraded, err := w.Inspect("mine")
	assert.NilError(t, err)
	assert.Equal(t, upgraded.Config.Documentation, "v2")
	assert.Equal(t, *upgraded.Config.Mounts[0].Source, "/usr")
	assert.Equal(t, *upgraded.Settings.Mounts[0].Source, "/srv")
	assert.Equal(t, *upgraded.Settings.Devices[0].Path, "/dev/zero")
}

// TestSetSurvivesOwnRecord: the record has a source that was set where docker reads
// it, and after the next start nowhere else.
func TestSetSurvivesOwnRecord(t *testing.T) {
	w := newWorld(t).start()
	source := "/usr"
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Mounts = []types.PluginMount{{Name: "data", Source: &source, Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}}
	assert.NilError(t, w.CreateConfig("mine", config))
	assert.NilError(t, w.Set("mine", []string{"data=/srv"}))
	before, err := w.Inspect("mine")
	assert.NilError(t, err)
	assert.Equal(t, *before.Config.Mounts[0].Source, "/usr")
	w.restart()
	after, err := w.Inspect("mine")
	assert.NilError(t, err)
	assert.DeepEqual(t, after, before)

	data, err := os.ReadFile(filepath.Join(w.Config.Root, before.ID, "config.json"))
	assert.NilError(t, err)
	var record struct{ Plugin types.Plugin }
	assert.NilError(t, json.Unmarshal(data, &record))
	assert.Equal(t, *record.Plugin.Config.Mounts[0].Source, "/srv")
}

// TestUpgradeReplacesDamage: the disk has damaged the content of the present version.
// The upgrade replaces it, and the next collection deletes it.
func TestUpgradeReplacesDamage(t *testing.T) {
	for _, what := range []string{"config", "manifest"} {
		t.Run(what, func(t *testing.T) {
			f := newFaultyWorld(t)
			assert.NilError(t, f.pullVersion("v1"))
			p, err := f.Get("p")
			assert.NilError(t, err)
			damaged := f.blobPath(map[string]digest.Digest{"config": p.Config, "manifest": p.Manifest}[what])
			assert.NilError(t, os.Chmod(damaged, 0o600))
			assert.NilError(t, os.Truncate(damaged, 10))
			assert.NilError(t, f.upgrade(f.repository+"v2", "p", f.privileges()))
			f.GC()
			_, err = os.Lstat(damaged)
			assert.Check(t, os.IsNotExist(err), "%v", err)
			f.Check("the damage is replaced")
		})
	}
}
