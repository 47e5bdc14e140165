//go:build linux

package plugin_test

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
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest"
)

// newRuncWorld is a world whose executor is the real one.
func newRuncWorld(t *testing.T) *world {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("runc needs root")
	}
	w := newWorld(t)
	state := filepath.Join(w.config.ExecRoot, "runc")
	w.config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) { return runc.New(state, pm) }
	return w
}

const listenStep = "listen=/run/docker/plugins/plugin.sock"

func TestRealPluginStartsAndStops(t *testing.T) {
	w := newRuncWorld(t).start()
	id := w.createProbe("real", "out=hello", listenStep, "wait=")
	w.enable(id)
	status := w.status(id)
	assert.Equal(t, status.State, "running")
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(status.Pid), "root", "run/docker/plugins/plugin.sock"))
	assert.NilError(t, err, "the pid is not the plugin's")
	assert.DeepEqual(t, w.logs(id, plugin.LogOptions{}), []string{"stdout hello"})
	assert.NilError(t, w.Disable(id, nil))
	assert.Equal(t, w.status(id).Pid, 0)
	assert.NilError(t, w.Remove(id, nil))
}

func TestRealPluginThatExits(t *testing.T) {
	w := newRuncWorld(t).start()
	id := w.createProbe("exits", "err=cannot open database", "exit=3")
	err := w.Enable(id, nil)
	var start *plugin.StartError
	assert.Assert(t, errors.As(err, &start), "%v", err)
	assert.Equal(t, start.ExitCode, 3)
	assert.DeepEqual(t, start.Output, []string{"cannot open database"})
}

// TestStartErrorsNameTheCause has the failures that users of managed plugins
// meet as "no such file or directory".
func TestStartErrorsNameTheCause(t *testing.T) {
	w := newRuncWorld(t).start()
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
			assert.Check(t, !w.enabled(tc.name))
		})
	}
}

// TestDisableOfADyingPlugin disables plugins that die at that moment, of which
// the executor is still collecting what they left.
func TestDisableOfADyingPlugin(t *testing.T) {
	w := newRuncWorld(t).start()
	id := w.createProbe("p", listenStep, "wait=")
	for range 20 {
		w.enable(id)
		assert.NilError(t, unix.Kill(w.status(id).Pid, unix.SIGKILL))
		assert.NilError(t, w.Disable(id, nil))
		assert.Equal(t, w.status(id).Pid, 0)
	}
}

// TestNoexecIsNamed has the plugins on a file system that nothing may be
// executed from.
func TestNoexecIsNamed(t *testing.T) {
	w := newRuncWorld(t)
	assert.NilError(t, unix.Mount("none", w.config.Root, "tmpfs", unix.MS_NOEXEC, ""))
	t.Cleanup(func() {
		w.Shutdown()
		assert.Check(t, unix.Unmount(w.config.Root, unix.MNT_DETACH))
	})
	w.start()
	id := w.createProbe("p", listenStep, "wait=")
	assert.ErrorContains(t, w.Enable(id, nil), "the plugin's rootfs is on a file system that is mounted noexec: "+w.config.Root)
}

// TestPropagatedMountIsSharedAgain restarts a daemon into surroundings where
// nothing is shared.
func TestPropagatedMountIsSharedAgain(t *testing.T) {
	w := newRuncWorld(t)
	w.config.LiveRestoreEnabled = true
	w.start()
	id := w.createProbeAs("p", func(c *types.PluginConfig) { c.PropagatedMount = "/volumes" }, listenStep, "wait=")
	w.enable(id)
	pid := w.status(id).Pid
	w.Shutdown()
	propagated := filepath.Join(w.config.Root, id, "propagated-mount")
	volume := filepath.Join(propagated, "volume")
	assert.NilError(t, os.Mkdir(volume, 0o755))
	assert.NilError(t, unix.Mount("none", volume, "tmpfs", 0, ""))
	assert.NilError(t, unix.Mount("", propagated, "", unix.MS_PRIVATE, ""))
	w.start()
	assert.Equal(t, w.status(id).Pid, pid)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(propagated))
	assert.NilError(t, err)
	assert.Equal(t, len(mounts), 2, "a mount below a running plugin was touched: %v", mounts)
	assert.Check(t, is.Contains(mounts[0].Optional, "shared:"))
	assert.NilError(t, w.Disable(id, nil))
}

func TestRealLiveRestore(t *testing.T) {
	w := newRuncWorld(t)
	w.config.LiveRestoreEnabled = true
	w.start()
	id := w.createProbe("lives", listenStep, "wait=")
	w.enable(id)
	pid := w.status(id).Pid
	w.restart()
	assert.Equal(t, w.status(id).Pid, pid)
	assert.Equal(t, w.status(id).State, "running")

	w.config.LiveRestoreEnabled = false
	w.restart()
	assert.Check(t, w.status(id).Pid != pid)
	assert.NilError(t, w.Disable(id, nil))
}
