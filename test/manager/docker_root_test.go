// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

// TestRootThatDockerKept starts on a root of docker's manager. It has an enabled
// plugin. The record names no config, manifest or rootfs, and a layer that is not
// in the store.
func TestRootThatDockerKept(t *testing.T) {
	w := newWorld(t)
	w.Executor.Behaviour = plugintest.Behaviour{Socket: "sshfs.sock"}
	assert.NilError(t, os.CopyFS(w.Config.Root, os.DirFS(filepath.Join("..", "..", "testdata", "docker-root"))))
	w.start()
	id := w.ID("vieux/sshfs")
	assert.NilError(t, os.MkdirAll(filepath.Join(w.Config.Root, id, "rootfs"), 0o755))
	assert.Check(t, w.Enabled(id) && w.Alive(id))
	assert.NilError(t, w.Disable("vieux/sshfs", nil))
	assert.NilError(t, w.Set(id, []string{"DEBUG=1"}))
	w.restart()
	w.MustEnable("cd851ce43a40")
	spec := w.Executor.Specs(id)[1]
	assert.Equal(t, spec.Root.Path, filepath.Join(w.Config.Root, id, "rootfs"))
	assert.DeepEqual(t, spec.Process.Env[1:], []string{"DEBUG=1"})
	w.GC()
	assert.NilError(t, w.Disable(id, nil))
	assert.NilError(t, w.Remove(id, nil))
}
