// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestRealPluginStartsAndStops(t *testing.T) {
	w := newWorld(t).Start()
	id := createProbe(w, "real", "out=hello", listenStep, "wait=")
	w.MustEnable(id)
	status := w.MustStatus(id)
	assert.Equal(t, status.State, "running")
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(status.Pid), "root", "run/docker/plugins/plugin.sock"))
	assert.NilError(t, err, "the pid is not the plugin's")
	assert.DeepEqual(t, w.MustLogs(id, plugin.LogOptions{}), []string{"stdout hello"})
	assert.NilError(t, w.Disable(id, nil))
	assert.Equal(t, w.MustStatus(id).Pid, 0)
	assert.NilError(t, w.Remove(id, nil))
}

func TestRealPluginThatExits(t *testing.T) {
	w := newWorld(t).Start()
	id := createProbe(w, "exits", "err=cannot open database", "exit=3")
	err := w.Enable(id, nil)
	var start *plugin.StartError
	assert.Assert(t, errors.As(err, &start), "%v", err)
	assert.Equal(t, start.ExitCode, 3)
	assert.DeepEqual(t, start.Output, []string{"cannot open database"})
}

// TestStartErrorsNameTheCause starts plugins that fail with "no such file or
// directory" in docker.
func TestStartErrorsNameTheCause(t *testing.T) {
	w := newWorld(t).Start()
	absent := filepath.Join(t.TempDir(), "absent")
	for _, tc := range []struct {
		name    string
		program string
		change  func(c *types.PluginConfig)
		want    string
	}{
		{"missing", "", func(c *types.PluginConfig) { c.Entrypoint = []string{"/nope"} }, "the entrypoint /nope is not in the plugin's rootfs"},
		{"text", "not a program", nil, "neither a program for Linux nor a script"},
		{"interpreter", "#!/bin/sh\n", nil, "needs /bin/sh, which is not in the plugin's rootfs"},
		{"source", "#!/plugin\n", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Name: "data", Type: "bind", Source: &absent, Destination: "/data", Options: []string{"rbind"}}}
		}, "the source " + absent + " of the mount at /data does not exist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config := plugintest.Config("docker.volumedriver/1.0")
			if tc.change != nil {
				tc.change(&config)
			}
			source := plugintest.BuildContext(config, map[string]string{"plugin": tc.program})
			assert.NilError(t, w.CreateFromContext(context.Background(), source, &types.PluginCreateOptions{RepoName: tc.name}))
			err := w.Enable(tc.name, nil)
			var start *plugin.StartError
			assert.Assert(t, errors.As(err, &start), "%v", err)
			assert.Check(t, is.Contains(start.Hint, tc.want))
			assert.Check(t, is.ErrorContains(err, tc.want))
			assert.Check(t, !w.Enabled(tc.name))
		})
	}
}

// TestDisableOfADyingPlugin disables plugins right after they were killed, while
// the executor is still cleaning up.
func TestDisableOfADyingPlugin(t *testing.T) {
	w := newWorld(t).Start()
	id := createProbe(w, "p", listenStep, "wait=")
	for range 20 {
		w.MustEnable(id)
		assert.NilError(t, unix.Kill(w.MustStatus(id).Pid, unix.SIGKILL))
		assert.NilError(t, w.Disable(id, nil))
		assert.Equal(t, w.MustStatus(id).Pid, 0)
	}
}

// TestNoexecIsNamed starts a plugin on a file system that is mounted noexec.
func TestNoexecIsNamed(t *testing.T) {
	w := newWorld(t)
	assert.NilError(t, unix.Mount("none", w.Config.Root, "tmpfs", unix.MS_NOEXEC, ""))
	t.Cleanup(func() {
		w.Shutdown()
		assert.Check(t, unix.Unmount(w.Config.Root, unix.MNT_DETACH))
	})
	w.Start()
	id := createProbe(w, "p", listenStep, "wait=")
	assert.ErrorContains(t, w.Enable(id, nil), "the plugin's rootfs is on a file system that is mounted noexec: "+w.Config.Root)
}

// TestPropagatedMountIsSharedAgain restarts a daemon after a propagated mount has
// become private.
func TestPropagatedMountIsSharedAgain(t *testing.T) {
	w := newWorld(t)
	w.Config.LiveRestoreEnabled = true
	w.Start()
	id := createProbeAs(w, "p", func(c *types.PluginConfig) { c.PropagatedMount = "/volumes" }, listenStep, "wait=")
	w.MustEnable(id)
	pid := w.MustStatus(id).Pid
	w.Shutdown()
	propagated := filepath.Join(w.Config.Root, id, "propagated-mount")
	volume := filepath.Join(propagated, "volume")
	assert.NilError(t, os.Mkdir(volume, 0o755))
	assert.NilError(t, unix.Mount("none", volume, "tmpfs", 0, ""))
	assert.NilError(t, unix.Mount("", propagated, "", unix.MS_PRIVATE, ""))
	w.Start()
	assert.Equal(t, w.MustStatus(id).Pid, pid)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(propagated))
	assert.NilError(t, err)
	assert.Equal(t, len(mounts), 2, "a mount below a running plugin was touched: %v", mounts)
	assert.Check(t, is.Contains(mounts[0].Optional, "shared:"))
	assert.NilError(t, w.Disable(id, nil))
}

func TestRealLiveRestore(t *testing.T) {
	w := newWorld(t)
	w.Config.LiveRestoreEnabled = true
	w.Start()
	id := createProbe(w, "lives", listenStep, "wait=")
	w.MustEnable(id)
	pid := w.MustStatus(id).Pid
	w.Restart()
	assert.Equal(t, w.MustStatus(id).Pid, pid)
	assert.Equal(t, w.MustStatus(id).State, "running")

	w.Config.LiveRestoreEnabled = false
	w.Restart()
	assert.Check(t, w.MustStatus(id).Pid != pid)
	assert.NilError(t, w.Disable(id, nil))
}
