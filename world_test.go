//go:build linux

package plugin_test

import (
	"context"
	"os"
	"path/filepath"
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

// world is a manager on directories and an executor that outlive it.
type world struct {
	t        testing.TB
	executor *plugintest.Executor
	config   plugin.ManagerConfig
	*plugin.Manager

	mu      sync.Mutex
	actions []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	execRoot, err := os.MkdirTemp("", "dt") // a socket path must be short
	assert.NilError(t, err)
	w := &world{t: t, executor: &plugintest.Executor{}}
	w.config = plugin.ManagerConfig{
		Store:          plugin.NewStore(),
		Root:           t.TempDir(),
		ExecRoot:       execRoot,
		CreateExecutor: w.createExecutor,
		LogPluginEvent: w.logEvent,
		Backoff:        time.Millisecond,
		BootWait:       -1,
	}
	t.Cleanup(func() {
		if w.Manager != nil {
			w.Shutdown()
		}
		w.executor.KillAll()
		assert.Check(t, os.RemoveAll(execRoot))
	})
	return w
}

func (w *world) createExecutor(pm *plugin.Manager) (plugin.Executor, error) {
	w.executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
	return w.executor, nil
}

// start makes a manager, as a daemon's start does.
func (w *world) start() *world {
	w.t.Helper()
	pm, err := plugin.NewManager(w.config)
	assert.NilError(w.t, err)
	w.Manager = pm
	return w
}

func (w *world) restart() *world {
	w.t.Helper()
	w.Shutdown()
	return w.start()
}

func (w *world) logEvent(id, name string, action events.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.actions = append(w.actions, string(action)+" "+name)
}

func (w *world) create(name string, interfaces ...string) string {
	w.t.Helper()
	assert.NilError(w.t, w.createConfig(name, plugintest.Config(interfaces...)))
	return w.id(name)
}

func (w *world) createConfig(name string, config types.PluginConfig) error {
	files := map[string]string{"plugin": "a program", "etc/name": name}
	return w.CreateFromContext(context.Background(), plugintest.BuildContext(config, files), &types.PluginCreateOptions{RepoName: name})
}

func (w *world) id(ref string) string {
	w.t.Helper()
	p, err := w.Inspect(ref)
	assert.NilError(w.t, err)
	return p.ID
}

func (w *world) enabled(ref string) bool {
	w.t.Helper()
	p, err := w.Inspect(ref)
	assert.NilError(w.t, err)
	return p.Enabled
}

func (w *world) enable(ref string) {
	w.t.Helper()
	assert.NilError(w.t, w.Enable(ref, &backend.PluginEnableConfig{Timeout: 30}))
}

func (w *world) alive(ref string) bool {
	w.t.Helper()
	running, err := w.executor.IsRunning(w.id(ref))
	assert.NilError(w.t, err)
	return running
}

func (w *world) blobs() []string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.config.Root, "storage", "blobs", "sha256", "*"))
	assert.NilError(w.t, err)
	return names
}

// tree lists all names below the root.
func (w *world) tree() []string {
	w.t.Helper()
	var names []string
	err := filepath.WalkDir(w.config.Root, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	assert.NilError(w.t, err)
	return names
}
