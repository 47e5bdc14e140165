// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// shortDirectory returns a directory with a path short enough for an ID and a socket,
// unlike that of t.TempDir.
func shortDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "p")
	assert.NilError(t, err)
	t.Cleanup(func() { os.RemoveAll(directory) })
	return directory
}

func newManager(t *testing.T, directory string, e *plugintest.Executor) *plugin.Manager {
	t.Helper()
	m, err := plugin.NewManager(plugin.ManagerConfig{
		Root:               filepath.Join(directory, "root"),
		ExecRoot:           filepath.Join(directory, "run"),
		CreateExecutor:     e.Creator(),
		LiveRestoreEnabled: true,
		Backoff:            time.Millisecond,
	})
	assert.NilError(t, err)
	return m
}

// A manager runs a fake plugin like a real one, also through a crash of the plugin and
// a restart of the daemon.
func TestCreator(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	directory, e := shortDirectory(t), &plugintest.Executor{}
	defer e.KillAll()
	m := newManager(t, directory, e)
	buildContext := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), nil)
	assert.NilError(t, m.CreateFromContext(context.Background(), buildContext, &types.PluginCreateOptions{RepoName: "p"}))
	assert.NilError(t, m.Enable("p", &backend.PluginEnableConfig{}))
	p, err := m.Get("p")
	assert.NilError(t, err)
	id := p.GetID()
	assert.Equal(t, e.Started(id), 1)

	m.Shutdown()
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive, "live restore leaves plugins alone")

	m = newManager(t, directory, e)
	defer m.Shutdown()
	assert.Equal(t, e.Started(id), 1)
	assert.NilError(t, m.Disable("p", &backend.PluginDisableConfig{}))
	alive, err = e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, !alive)
	assert.NilError(t, m.Remove("p", &backend.PluginRmConfig{}))
}
