// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testworld

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// World is a manager. Its directories and its executor outlive it. Methods without
// an error result fail the test instead.
type World struct {
	T               testing.TB
	Executor        *plugintest.Executor
	Config          plugin.ManagerConfig // of the next manager
	*plugin.Manager                      // nil before Start

	mu      sync.Mutex
	actions []string
}

// New returns a world with a fake executor. At the end of the test its manager is
// shut down, and a goroutine that is left fails the test.
func New(t testing.TB) *World {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	execRoot, err := os.MkdirTemp("", "dt") // a socket path must be short
	assert.NilError(t, err)
	w := &World{T: t, Executor: &plugintest.Executor{}}
	w.Config = plugin.ManagerConfig{
		Store:          plugin.NewStore(),
		Root:           t.TempDir(),
		ExecRoot:       execRoot,
		CreateExecutor: w.CreateExecutor,
		LogPluginEvent: w.logEvent,
		Backoff:        time.Millisecond,
		BootWait:       -1,
		LegacyWait:     -1,
	}
	t.Cleanup(func() {
		if w.Manager != nil {
			w.Shutdown()
		}
		w.Executor.KillAll()
		assert.Check(t, os.RemoveAll(execRoot))
	})
	return w
}

// CreateExecutor is the [plugin.ExecutorCreator] that provides the fake executor.
func (w *World) CreateExecutor(pm *plugin.Manager) (plugin.Executor, error) {
	w.Executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
	return w.Executor, nil
}

// Start makes a manager, as a daemon's start does.
func (w *World) Start() *World {
	w.T.Helper()
	pm, err := plugin.NewManager(w.Config)
	assert.NilError(w.T, err)
	w.Manager = pm
	return w
}

// Restart shuts the manager down, and starts the next.
func (w *World) Restart() *World {
	w.T.Helper()
	w.Shutdown()
	return w.Start()
}

func (w *World) logEvent(id, name string, action events.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.actions = append(w.actions, string(action)+" "+name)
}

// Actions returns the calls of LogPluginEvent so far: an action and a name each.
func (w *World) Actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.actions)
}

// Create creates a plugin with the given interfaces, and returns its ID.
func (w *World) Create(name string, interfaces ...string) string {
	w.T.Helper()
	assert.NilError(w.T, w.CreateConfig(name, plugintest.Config(interfaces...)))
	return w.ID(name)
}

// CreateConfig creates a plugin with the given config.
func (w *World) CreateConfig(name string, config types.PluginConfig) error {
	files := map[string]string{"plugin": "a program", "etc/name": name}
	return w.CreateFromContext(context.Background(), plugintest.BuildContext(config, files), &types.PluginCreateOptions{RepoName: name})
}

// ID returns the ID of a plugin.
func (w *World) ID(ref string) string {
	w.T.Helper()
	p, err := w.Inspect(ref)
	assert.NilError(w.T, err)
	return p.ID
}

// Enabled returns the desired state of a plugin.
func (w *World) Enabled(ref string) bool {
	w.T.Helper()
	p, err := w.Inspect(ref)
	assert.NilError(w.T, err)
	return p.Enabled
}

// MustEnable enables a plugin.
func (w *World) MustEnable(ref string) {
	w.T.Helper()
	assert.NilError(w.T, w.Enable(ref, &backend.PluginEnableConfig{Timeout: 30}))
}

// Alive reports whether the fake executor runs a plugin.
func (w *World) Alive(ref string) bool {
	w.T.Helper()
	running, err := w.Executor.IsRunning(w.ID(ref))
	assert.NilError(w.T, err)
	return running
}

// Blobs lists the files of all blobs.
func (w *World) Blobs() []string {
	w.T.Helper()
	names, err := filepath.Glob(filepath.Join(w.Config.Root, "storage", "blobs", "sha256", "*"))
	assert.NilError(w.T, err)
	return names
}

// Tree lists all names below Root.
func (w *World) Tree() []string {
	w.T.Helper()
	var names []string
	err := filepath.WalkDir(w.Config.Root, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	assert.NilError(w.T, err)
	return names
}

// MustLogs returns the lines of a plugin's log, each after its stream.
func (w *World) MustLogs(ref string, options plugin.LogOptions) []string {
	w.T.Helper()
	lines, err := w.Logs(context.Background(), ref, options)
	assert.NilError(w.T, err)
	var texts []string
	for line, err := range lines {
		assert.NilError(w.T, err)
		texts = append(texts, line.Stream+" "+line.Text)
	}
	return texts
}

// MustStatus returns the status of a plugin.
func (w *World) MustStatus(ref string) plugin.Status {
	w.T.Helper()
	status, err := w.Status(ref)
	assert.NilError(w.T, err)
	return *status
}

// Check compares the states of disk, memory and executor.
func (w *World) Check(why string, args ...any) {
	w.T.Helper()
	w.CheckBut(plugintest.RootCheck{ExecRoot: w.Config.ExecRoot}, why, args...)
}

// CheckBut is [World.Check] with another RootCheck.
func (w *World) CheckBut(check plugintest.RootCheck, why string, args ...any) {
	w.T.Helper()
	w.GC()
	check.Manager, check.Executor, check.Collected = w.Manager, w.Executor, true
	err := plugintest.CheckRoot(w.Config.Root, check)
	assert.NilError(w.T, err, append([]any{why}, args...)...)
}
