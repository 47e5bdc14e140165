// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// house has everything that outlives a daemon: directories, a fake executor,
// and the driver that the fake's plugins run.
type house struct {
	options  options
	executor *plugintest.Executor
	driver   *driver
}

func newHouse(t testing.TB) *house {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	directory, err := os.MkdirTemp("", "h") // short, because sockets are below it
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(directory)) })
	h := &house{driver: &driver{volumes: map[string]int{}}}
	h.executor = &plugintest.Executor{Behaviour: plugintest.Behaviour{Handler: h.driver}}
	t.Cleanup(h.executor.KillAll)
	h.options = options{
		root:     filepath.Join(directory, "root"),
		execRoot: filepath.Join(directory, "exec"),
		host:     "unix://" + filepath.Join(directory, "s"),
		runtime:  "runc",
		logLevel: "error",
		executor: h.executor.Creator(),
	}
	return h
}

// start serves a daemon. It returns docker's client to it, and a function that
// ends it.
func (h *house) start(t testing.TB) (docker *client.Client, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := newDaemon(ctx, h.options)
	assert.NilError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(d.serve(ctx), d.close()) }()
	docker, err = client.NewClientWithOpts(client.WithHost(h.options.host), client.WithAPIVersionNegotiation())
	assert.NilError(t, err)
	return docker, func() {
		t.Helper()
		assert.NilError(t, docker.Close())
		cancel()
		assert.NilError(t, <-ended)
	}
}

func createPlugin(t testing.TB, docker *client.Client, name string) {
	t.Helper()
	buildContext := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), map[string]string{"data/file": "hello"})
	assert.NilError(t, docker.PluginCreate(t.Context(), buildContext, types.PluginCreateOptions{RepoName: name}))
}

func TestDaemonDescribesItselfToClients(t *testing.T) {
	h := newHouse(t)
	h.options.insecureRegistries = []string{"registry.example:5000"}
	docker, stop := h.start(t)
	defer stop()

	ping, err := docker.Ping(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, ping.APIVersion, "1.51")
	assert.Equal(t, ping.OSType, "linux")

	version, err := docker.ServerVersion(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, version.Platform.Name, "plugind")
	assert.Equal(t, version.Components[0].Name, "Engine")
	assert.Equal(t, version.MinAPIVersion, "1.24")
	assert.Equal(t, version.Arch, runtime.GOARCH)

	info, err := docker.Info(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, info.DockerRootDir, h.options.root)
	assert.Equal(t, info.OSType, "linux")
	assert.DeepEqual(t, info.Plugins.Volume, []string{"local"})
	assert.Assert(t, !info.RegistryConfig.IndexConfigs["registry.example:5000"].Secure)

	socket, err := h.options.socket()
	assert.NilError(t, err)
	assert.Equal(t, get(socket, "/_ping"), "OK")
	assert.Equal(t, get(socket, "/v1.51/_ping"), "OK")
	assert.Equal(t, get(socket, "/containers/json"), "{\"message\":\"page not found\"}\n")
}

func TestVolumesOfAPlugin(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	defer stop()
	ctx := t.Context()
	createPlugin(t, docker, "example/volume")

	_, err := docker.VolumeCreate(ctx, volume.CreateOptions{Name: "data", Driver: "example/volume"})
	assert.ErrorContains(t, err, "disabled")
	assert.NilError(t, docker.PluginEnable(ctx, "example/volume", types.PluginEnableOptions{}))
	made, err := docker.VolumeCreate(ctx, volume.CreateOptions{Name: "data", Driver: "example/volume"})
	assert.NilError(t, err)
	assert.Equal(t, made.Driver, "example/volume:latest")

	info, err := docker.Info(ctx)
	assert.NilError(t, err)
	assert.DeepEqual(t, info.Plugins.Volume, []string{"local", "example/volume:latest"})

	// The plugin answers with its own path; the daemon answers with the host's.
	mountpoint := mountVolume(t, h, "data")
	content, err := os.ReadFile(filepath.Join(mountpoint, "file"))
	assert.NilError(t, err)
	assert.Equal(t, string(content), "hello")
	assert.Equal(t, h.driver.mounts("data"), 1)

	assert.Check(t, errdefs.IsConflict(docker.VolumeRemove(ctx, "data", false)))
	assert.Check(t, errdefs.IsConflict(docker.PluginDisable(ctx, "example/volume", types.PluginDisableOptions{})))
	unmountVolume(t, h, "data")
	assert.Equal(t, h.driver.mounts("data"), 0)
	assert.NilError(t, docker.VolumeRemove(ctx, "data", false))
	assert.NilError(t, docker.PluginDisable(ctx, "example/volume", types.PluginDisableOptions{}))
}

func TestEventsOfADaemon(t *testing.T) {
	h := newHouse(t)
	docker, stop := h.start(t)
	ctx := t.Context()
	told, failed := docker.Events(ctx, events.ListOptions{Filters: filters.NewArgs(filters.Arg("type", "plugin"), filters.Arg("type", "volume")), Since: "1"})
	createPlugin(t, docker, "example/volume")
	assert.NilError(t, docker.PluginEnable(ctx, "example/volume", types.PluginEnableOptions{}))
	_, err := docker.VolumeCreate(ctx, volume.CreateOptions{Name: "data", Driver: "example/volume"})
	assert.NilError(t, err)
	mountVolume(t, h, "data")

	for _, want := range []string{"plugin create example/volume:latest", "plugin enable example/volume:latest", "volume create data", "volume mount data"} {
		select {
		case event := <-told:
			name := event.Actor.Attributes["name"]
			if event.Type == events.VolumeEventType {
				name = event.Actor.ID
			}
			assert.Equal(t, string(event.Type)+" "+string(event.Action)+" "+name, want)
		case err := <-failed:
			t.Fatalf("events ended before %q: %v", want, err)
		}
	}
	// The end of the daemon ends the stream and unmounts the volumes.
	stop()
	assert.ErrorContains(t, <-failed, "EOF")
	assert.Equal(t, h.driver.mounts("data"), 0)
}

func TestRestartsKeepPluginsAndVolumes(t *testing.T) {
	for _, liveRestore := range []bool{false, true} {
		name := "stopping plugins"
		if liveRestore {
			name = "leaving plugins"
		}
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.options.liveRestore = liveRestore
			docker, stop := h.start(t)
			createPlugin(t, docker, "example/volume")
			assert.NilError(t, docker.PluginEnable(t.Context(), "example/volume", types.PluginEnableOptions{}))
			_, err := docker.VolumeCreate(t.Context(), volume.CreateOptions{Name: "data", Driver: "example/volume"})
			assert.NilError(t, err)
			mountVolume(t, h, "data")
			inspected, _, err := docker.PluginInspectWithRaw(t.Context(), "example/volume")
			assert.NilError(t, err)
			stop()

			docker, stop = h.start(t)
			defer stop()
			runs, mounted := 2, 0
			if liveRestore {
				runs, mounted = 1, 1
			}
			assert.Check(t, is.Equal(h.executor.Started(inspected.ID), runs))
			assert.Check(t, is.Equal(h.driver.mounts("data"), mounted))
			volumes, err := docker.VolumeList(t.Context(), volume.ListOptions{})
			assert.NilError(t, err)
			assert.Equal(t, len(volumes.Volumes), 1)
			if liveRestore {
				err := docker.VolumeRemove(t.Context(), "data", false)
				assert.Check(t, errdefs.IsConflict(err), "a volume that is mounted was removed: %v", err)
			}
			unmountVolume(t, h, "data")
			// The volume still holds a reference to the plugin.
			assert.Check(t, errdefs.IsConflict(docker.PluginDisable(t.Context(), "example/volume", types.PluginDisableOptions{})))
			assert.NilError(t, docker.PluginDisable(t.Context(), "example/volume", types.PluginDisableOptions{Force: true}))
		})
	}
}

func TestSocketOfADaemonIsNotTaken(t *testing.T) {
	h := newHouse(t)
	_, stop := h.start(t)
	defer stop()
	assert.ErrorContains(t, run(t.Context(), h.options), "another process listens on it: stop it or choose another path")
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	noExecutor := errors.New("no executor today")
	for _, tc := range []struct {
		name   string
		change func(t testing.TB, o *options)
		want   string
	}{
		{"executor", func(_ testing.TB, o *options) {
			o.executor = func(*plugin.Manager) (plugin.Executor, error) { return nil, noExecutor }
		}, "no executor today"},
		{"registry", func(_ testing.TB, o *options) { o.insecureRegistries = []string{"a b"} }, "--insecure-registry: "},
		{"root", func(t testing.TB, o *options) { assert.NilError(t, os.WriteFile(o.root, nil, 0o600)) }, "/root: "},
		{"volumes", func(t testing.TB, o *options) {
			assert.NilError(t, os.MkdirAll(o.root, 0o700))
			assert.NilError(t, os.WriteFile(filepath.Join(o.root, "volumes"), nil, 0o600))
		}, "start volumes: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			tc.change(t, &h.options)
			assert.ErrorContains(t, run(t.Context(), h.options), tc.want)
			socket, err := h.options.socket()
			assert.NilError(t, err)
			_, err = net.Dial("unix", socket)
			assert.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

func TestContainerdThatIsNotThereIsReported(t *testing.T) {
	h := newHouse(t)
	h.options.containerd = filepath.Join(t.TempDir(), "nowhere.sock")
	// plugind waits for containerd to start; the test need not.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.ErrorContains(t, run(ctx, h.options), "connect to containerd at "+h.options.containerd+": ")
}

func TestRunEndsWithItsContext(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.NilError(t, run(ctx, h.options))
}
