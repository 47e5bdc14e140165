// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// newWorld returns a world with the executor for runc.
func newWorld(t testing.TB) *testworld.World {
	t.Helper()
	return newWorldOn(t, "runc")
}

// newWorldOn returns a world with the executor for runc, which runs another program
// than the runc of the machine.
func newWorldOn(t testing.TB, runtime string) *testworld.World {
	t.Helper()
	testenv.NeedsRoot(t, "runc")
	w := testworld.New(t)
	state := runtimeState(w)
	w.Config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		return runc.New(state, pm, runc.WithRuntime(runtime))
	}
	return w
}

// runtimeState is the directory of the executor for runc.
func runtimeState(w *testworld.World) string { return filepath.Join(w.Config.ExecRoot, "runc") }

// listenStep makes the probe listen where a plugin of plugintest.Config does.
const listenStep = "listen=/run/docker/plugins/plugin.sock"

// createProbe creates a plugin that runs the conformance kit's program.
func createProbe(w *testworld.World, name string, steps ...string) string {
	w.T.Helper()
	return createProbeAs(w, name, func(*types.PluginConfig) {}, steps...)
}

// CreateProbeAs is createProbe with a changed config.
func createProbeAs(w *testworld.World, name string, change func(*types.PluginConfig), steps ...string) string {
	w.T.Helper()
	rootfs := executortest.BuildProbe(w.T)
	entrypoint := executortest.Spec(rootfs, steps...).Process.Args
	binary, err := os.ReadFile(filepath.Join(rootfs, entrypoint[0]))
	assert.NilError(w.T, err)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = entrypoint
	change(&config)
	source := plugintest.BuildContext(config, map[string]string{entrypoint[0]: string(binary)})
	assert.NilError(w.T, w.CreateFromContext(context.Background(), source, &types.PluginCreateOptions{RepoName: name}))
	return w.ID(name)
}

// probeProgram returns the content of the program that runc runs in plugins.
func probeProgram(t *testing.T) []byte {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(executortest.BuildProbe(t), "probe"))
	assert.NilError(t, err)
	return program
}
