// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// rewrite changes the record of a plugin while no manager runs, as if an older
// manager, or docker, had written it.
func (w *world) rewrite(id string, change func(*types.Plugin)) {
	w.T.Helper()
	path := filepath.Join(w.Config.Root, id, "config.json")
	data, err := os.ReadFile(path)
	assert.NilError(w.T, err)
	p := new(v2.Plugin)
	assert.NilError(w.T, json.Unmarshal(data, p))
	change(&p.PluginObj)
	p.Config, p.Manifest = "", "" // as in docker's records
	data, err = json.Marshal(p)
	assert.NilError(w.T, err)
	assert.NilError(w.T, os.WriteFile(path, data, 0o600))
}

// TestUnsoundRecords loads records that no verb would write. The plugins are listed
// and can be removed. They are not run, and each verb and Status reports why.
func TestUnsoundRecords(t *testing.T) {
	source := "/"
	for name, test := range map[string]struct {
		change func(*types.Plugin)
		says   string
	}{
		"socket that leads out": {func(p *types.Plugin) { p.Config.Interface.Socket = "../other/plugin.sock" }, "interface.socket"},
		"propagated mount":      {func(p *types.Plugin) { p.Config.PropagatedMount = "/data/../.." }, "propagatedMount"},
		"mount that was set": {func(p *types.Plugin) {
			p.Settings.Mounts = []types.PluginMount{{Source: &source, Destination: "/a/../..", Type: "bind"}}
		}, "settings.mounts[0].destination"},
		"variable that was set": {func(p *types.Plugin) { p.Settings.Env = []string{"=x"} }, "settings.env[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).start()
			on, off := w.Create("on"), w.Create("off")
			w.MustEnable(on)
			w.Shutdown()
			runs := w.Executor.Started(on)
			w.rewrite(on, test.change)
			w.rewrite(off, test.change)
			w.start()

			assert.Check(t, w.Enabled(on) && !w.Enabled(off), "a desired state changed")
			assert.Check(t, !w.Alive(on))
			assert.Check(t, is.Contains(w.MustStatus(on).LastError, test.says))
			assert.NilError(t, w.Disable(on, nil))
			for _, id := range []string{on, off} {
				err := w.Enable(id, nil)
				var start *plugin.StartError
				var invalid *v2.InvalidConfigError
				assert.Assert(t, errors.As(err, &start) && errors.As(err, &invalid), "%v", err)
				assert.Equal(t, start.Phase, plugin.PhasePrepare)
				assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
				assert.Check(t, is.ErrorContains(err, test.says))
				assert.Check(t, !w.Enabled(id))
			}
			assert.Equal(t, w.Executor.Started(on), runs)
			assert.Equal(t, w.Executor.Started(off), 0)
			assert.NilError(t, w.Remove(on, nil))
			assert.NilError(t, w.Remove(off, nil))
			w.Check("unsound plugins are removed")
		})
	}
}

// TestUnsoundRecordIsTakenOver: running plugins go on running, whatever their
// record asks for. Look-ups return them only if their socket is in its place.
func TestUnsoundRecordIsTakenOver(t *testing.T) {
	source := "/"
	for name, test := range map[string]struct {
		change  func(p *types.Plugin, other string)
		warning string
		reached bool
	}{
		"socket of another plugin": {func(p *types.Plugin, other string) { p.Config.Interface.Socket = "../" + other + "/plugin.sock" }, "interface.socket", false},
		"no entrypoint":            {func(p *types.Plugin, _ string) { p.Config.Entrypoint = nil }, "entrypoint is empty", true},
		"mount without destination": {func(p *types.Plugin, _ string) {
			p.Config.Mounts = []types.PluginMount{{Source: &source, Type: "none"}}
		}, "mounts[0].destination", true},
		"variable without a name":    {func(p *types.Plugin, _ string) { p.Config.Env = []types.PluginEnv{{Value: &source}} }, "env[0] has no name", true},
		"propagated mount over root": {func(p *types.Plugin, _ string) { p.Config.PropagatedMount = "/" }, "propagatedMount", true},
		"invalid user":               {func(p *types.Plugin, _ string) { p.Config.User.UID = 1<<32 - 1 }, "user", true},
		"control characters":         {func(p *types.Plugin, _ string) { p.Config.Description = "a\x1b[2K" }, "", true},
		"the host's devices": {func(p *types.Plugin, _ string) {
			p.Config.Mounts = []types.PluginMount{{Source: &source, Destination: "/d", Type: "devtmpfs"}}
		}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Config.LiveRestoreEnabled = true
			w.start()
			sound, unsound := w.Create("sound", "docker.volumedriver/1.0"), w.Create("unsound", "docker.volumedriver/1.0")
			w.MustEnable(sound)
			w.MustEnable(unsound)
			w.Shutdown()
			w.rewrite(unsound, func(p *types.Plugin) { test.change(p, sound) })
			w.start()
			for _, id := range []string{sound, unsound} {
				assert.Check(t, w.Enabled(id) && w.Alive(id))
				assert.Equal(t, w.Executor.Started(id), 1)
			}
			assert.Check(t, is.Contains(strings.Join(w.MustStatus(unsound).Warnings, "\n"), test.warning))
			_, err := w.Config.Store.Get("unsound", "VolumeDriver", plugingetter.Lookup)
			assert.Check(t, is.Equal(err == nil, test.reached), "%v", err)
			assert.NilError(t, w.Disable(unsound, nil))
			assert.NilError(t, w.Disable(sound, nil))
			assert.NilError(t, w.Remove(unsound, nil))
			w.Check("after a takeover")
		})
	}
}

// TestInstallsPluginsThatCantStart: Create accepts what docker accepts. Status has a
// warning, and Enable fails.
func TestInstallsPluginsThatCantStart(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*types.PluginConfig)
		says   string
	}{
		"a description alone":       {func(c *types.PluginConfig) { *c = types.PluginConfig{Description: "nothing else"} }, "entrypoint is empty"},
		"mount without destination": {func(c *types.PluginConfig) { c.Mounts = []types.PluginMount{{Name: "m", Type: "none"}} }, "mounts[0].destination"},
		"socket that leads out":     {func(c *types.PluginConfig) { c.Interface.Socket = "../../docker.sock" }, "interface.socket"},
		"variable with a NUL byte":  {func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A\x00"}} }, "env[0]"},
		"user that is none":         {func(c *types.PluginConfig) { c.User.UID = 1<<32 - 1 }, "user"},
		"propagated mount over all": {func(c *types.PluginConfig) { c.PropagatedMount = "/" }, "propagatedMount"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).start()
			config := plugintest.Config("docker.volumedriver/1.0")
			test.change(&config)
			assert.NilError(t, w.CreateFromContext(t.Context(), plugintest.BuildContext(config, nil), &types.PluginCreateOptions{RepoName: "odd"}))
			assert.Check(t, is.Contains(strings.Join(w.MustStatus("odd").Warnings, "\n"), test.says))
			err := w.Enable("odd", nil)
			var invalid *v2.InvalidConfigError
			assert.Assert(t, errors.As(err, &invalid) && errdefs.IsInvalidArgument(err), "%v", err)
			assert.Check(t, is.ErrorContains(err, test.says))
			assert.NilError(t, w.Remove("odd", nil))
		})
	}
}
