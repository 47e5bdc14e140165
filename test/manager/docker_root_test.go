//go:build linux

package plugin_test

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
)

// TestRootThatDockerKept starts on what docker left: an enabled plugin whose
// record has no digests of config and manifest, no path of a rootfs, and a
// layer that is not in the store.
func TestRootThatDockerKept(t *testing.T) {
	w := newWorld(t)
	w.executor.Behaviour = plugintest.Behaviour{Socket: "sshfs.sock"}
	assert.NilError(t, os.CopyFS(w.config.Root, os.DirFS(filepath.Join("testdata", "docker-root"))))
	w.start()
	id := w.id("vieux/sshfs")
	assert.NilError(t, os.MkdirAll(filepath.Join(w.config.Root, id, "rootfs"), 0o755))
	assert.Check(t, w.enabled(id) && w.alive(id))
	assert.NilError(t, w.Disable("vieux/sshfs", nil))
	assert.NilError(t, w.Set(id, []string{"DEBUG=1"}))
	w.restart()
	w.enable("cd851ce43a40")
	spec := w.executor.Specs(id)[1]
	assert.Equal(t, spec.Root.Path, filepath.Join(w.config.Root, id, "rootfs"))
	assert.DeepEqual(t, spec.Process.Env[1:], []string{"DEBUG=1"})
	w.GC()
	assert.NilError(t, w.Disable(id, nil))
	assert.NilError(t, w.Remove(id, nil))
}
