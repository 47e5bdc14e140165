// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest/executortest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// putOldProbe writes a root of docker 1.12 with an active plugin that runs the
// conformance kit's program, as docker's document makes it by hand.
func putOldProbe(t *testing.T, root, id, name string) {
	t.Helper()
	rootfs := filepath.Join(root, id, "rootfs")
	for _, dir := range []string{"run/docker/plugins", "proc", "dev", "sys", "etc"} {
		assert.NilError(t, os.MkdirAll(filepath.Join(rootfs, dir), 0o755))
	}
	assert.NilError(t, os.WriteFile(filepath.Join(rootfs, "probe"), probeProgram(t), 0o755))
	manifest := map[string]any{
		"manifestVersion": "v0",
		"description":     "a plugin made by hand",
		"entrypoint":      executortest.Spec(rootfs, "out=hello", listenStep, "wait=").Process.Args,
		"network":         map[string]any{"type": "host"},
		"interface":       map[string]any{"types": []string{"docker.volumedriver/1.0"}, "socket": "plugin.sock"},
		"capabilities":    []string{"CAP_SYS_ADMIN"},
		"env":             []any{map[string]any{"name": "DEBUG", "value": "0", "settable": []string{"value"}}},
	}
	settings := map[string]any{"Devices": nil, "Args": nil, "Env": []string{"DEBUG=1"}, "Mounts": []any{}}
	inventory := map[string]any{id: map[string]any{"plugin": map[string]any{
		"Manifest": manifest, "Config": settings, "Active": true, "Tag": "latest", "Name": name, "Id": id,
	}}}
	for path, value := range map[string]any{
		"plugins.json": inventory, id + "/manifest.json": manifest, id + "/plugin-config.json": settings,
	} {
		data, err := json.Marshal(value)
		assert.NilError(t, err)
		assert.NilError(t, os.WriteFile(filepath.Join(root, path), data, 0o600))
	}
}

// TestRealPluginOfDocker112 starts on a root of docker 1.12: its plugin runs, is found
// as a volume driver, and is pushed and pulled elsewhere, where it runs as well.
func TestRealPluginOfDocker112(t *testing.T) {
	const old = "cd851ce43a403"
	host := fake.New().Start(t)
	name := host + "/vieux/sshfs"
	w := newWorld(t)
	w.Config.RegistryService = testworld.PlainHTTP{}
	putOldProbe(t, w.Config.Root, old, name)
	w.Start()
	status := w.MustStatus(old)
	assert.Equal(t, status.State, "running")
	assert.Equal(t, status.Name, name+":latest")
	checkListens(t, status)
	assert.DeepEqual(t, w.MustLogs(old, plugin.LogOptions{}), []string{"stdout hello"})
	driver, err := w.Config.Store.Get(name, "VolumeDriver", plugingetter.Lookup)
	assert.NilError(t, err)
	assert.Equal(t, driver.Name(), name+":latest")
	assert.NilError(t, w.Push(t.Context(), name, nil, nil, nil))

	other := newWorld(t)
	other.Config.RegistryService = testworld.PlainHTTP{}
	other.Start()
	grants := types.PluginPrivileges{
		{Name: "network", Value: []string{"host"}}, {Name: "capabilities", Value: []string{"CAP_SYS_ADMIN"}},
	}
	assert.NilError(t, other.Pull(t.Context(), testworld.Named(t, name+":latest"), "pulled", nil, nil, grants, nil))
	other.MustEnable("pulled")
	checkListens(t, other.MustStatus("pulled"))

	assert.NilError(t, w.Disable(old, nil))
	assert.NilError(t, w.Remove(old, nil))
	w.Check("after the removal")
}

func checkListens(t *testing.T, status plugin.Status) {
	t.Helper()
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(status.Pid), "root", "run/docker/plugins/plugin.sock"))
	assert.NilError(t, err, "the pid is not the plugin's")
}
