// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
)

// maxSweep bounds a requested deletion.
const maxSweep = 2 * time.Minute

// maxWait is far beyond the time of a verb on a busy machine. It is below the
// cost of each verb for a manager that deletes the rogue's directories by their
// paths.
const maxWait = 20 * time.Second

// TestRunningPlugin runs a plugin that fills its rootfs, its data and its
// directory of sockets with deep trees, files and mounts. The plugin is
// disabled, enabled and upgraded to the same version, survives a restart of the
// manager, and is removed. Verbs on another plugin continue. All of it stays
// within bounds, and nothing is left.
func TestRunningPlugin(t *testing.T) {
	testenv.NeedsRoot(t, "runc")
	dir, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(dir)) })
	w := &running{t: t, dir: dir}
	w.start()
	t.Cleanup(func() { w.manager.Shutdown() })
	w.create("calm", "/rogue")
	w.create("rogue", "/rogue", "/", "/run/docker/plugins", "/data")

	w.within("enable calm", func() error { return w.manager.Enable("calm", nil) })
	enabled := make(chan error, 1)
	go func() { enabled <- w.manager.Enable("rogue", nil) }()
	for filled := false; !filled; {
		select {
		case err := <-enabled:
			assert.NilError(t, err)
			filled = true
		default:
			w.verbs()
		}
	}
	w.verbs()
	w.within("disable rogue", func() error { return w.manager.Disable("rogue", nil) })
	w.within("shut down", func() error { w.manager.Shutdown(); return nil })
	w.within("start", func() error { w.start(); return nil })
	w.verbs()
	w.within("enable rogue", func() error { return w.manager.Enable("rogue", &backend.PluginEnableConfig{}) })
	w.within("remove rogue", func() error {
		return w.manager.Remove("rogue", &backend.PluginRmConfig{ForceRemove: true})
	})
	w.verbs()
	w.bounded(maxSweep, "collect", func() error { w.manager.GC(); return nil })
	w.within("remove calm", func() error {
		return w.manager.Remove("calm", &backend.PluginRmConfig{ForceRemove: true})
	})
	w.manager.GC()
	for _, place := range []string{"root/*-removing", "root/tmp/*", "x/*-removing"} {
		left, err := filepath.Glob(filepath.Join(dir, place))
		assert.NilError(t, err)
		assert.Equal(t, len(left), 0, "%q", left)
	}
}

// running is a manager with real plugins.
type running struct {
	t       *testing.T
	dir     string
	manager *plugin.Manager
}

func (w *running) start() {
	w.t.Helper()
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Store:    plugin.NewStore(),
		Root:     filepath.Join(w.dir, "root"),
		ExecRoot: filepath.Join(w.dir, "x"),
		// The rogue fills its directories before it listens.
		StartTimeout: 2 * time.Minute,
		CreateExecutor: func(pm *plugin.Manager) (plugin.Executor, error) {
			return runc.New(filepath.Join(w.dir, "runc"), pm)
		},
	})
	assert.NilError(w.t, err)
	w.manager = pm
}

func (w *running) create(name string, entrypoint ...string) {
	w.t.Helper()
	binary := filepath.Join(w.dir, "rogue")
	build := exec.Command("go", "build", "-o", binary, "./rogue")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	assert.NilError(w.t, err, "%s", output)
	program, err := os.ReadFile(binary)
	assert.NilError(w.t, err)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = entrypoint
	config.PropagatedMount = "/data"
	config.Linux.Capabilities = []string{"CAP_SYS_ADMIN"}
	source := plugintest.BuildContext(config, map[string]string{"rogue": string(program)})
	assert.NilError(w.t, w.manager.CreateFromContext(w.t.Context(), source, &types.PluginCreateOptions{RepoName: name}))
}

// verbs calls verbs on the other plugin, and verbs on all plugins.
func (w *running) verbs() {
	w.t.Helper()
	w.within("disable calm", func() error { return w.manager.Disable("calm", nil) })
	w.within("set calm", func() error { return w.manager.Set("calm", nil) })
	w.within("enable calm", func() error { return w.manager.Enable("calm", nil) })
	w.within("list", func() error { _, err := w.manager.List(filters.NewArgs()); return err })
	w.within("disk usage", func() error {
		usage, err := w.manager.DiskUsage(w.t.Context())
		if err == nil {
			for _, one := range usage.Plugins {
				assert.Check(w.t, one.Err)
			}
		}
		return err
	})
	w.bounded(maxSweep, "prune", func() error { _, err := w.manager.Prune(w.t.Context()); return err })
}

func (w *running) within(what string, do func() error) {
	w.t.Helper()
	w.bounded(maxWait, what, do)
}

func (w *running) bounded(most time.Duration, what string, do func() error) {
	w.t.Helper()
	begun := time.Now()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		assert.NilError(w.t, err, what)
		w.t.Logf("%s: %s", what, time.Since(begun).Round(time.Millisecond))
	case <-time.After(most):
		w.t.Fatalf("%s takes longer than %s", what, most)
	}
}
