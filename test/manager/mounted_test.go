// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// TestUpgradeDeletesNothingBelowAMount mounts data of the host in the plugin's data
// directory, and in the rootfs that the upgrade replaces.
func TestUpgradeDeletesNothingBelowAMount(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	w, _, host := newConnectedWorld(t)
	v1, v2ref := host+"/group/plugin:v1", host+"/group/plugin:v2"
	grants := w.version(v1, "1", true)
	w.version(v2ref, "2", true)
	_, err := w.pull(v1, "mine", grants)
	assert.NilError(t, err)
	data := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(data, "precious"), nil, 0o600))
	var mounted []string
	for _, name := range []string{"propagated-mount", "rootfs"} {
		target := filepath.Join(w.Config.Root, w.ID("mine"), name, "data")
		assert.NilError(t, os.MkdirAll(target, 0o755))
		assert.NilError(t, unix.Mount(data, target, "", unix.MS_BIND, ""))
		mounted = append(mounted, target)
	}
	assert.Check(t, w.upgrade(v2ref, "mine", grants))
	assert.NilError(t, w.Remove("mine", nil))
	w.GC()
	_, err = os.Stat(filepath.Join(data, "precious"))
	assert.NilError(t, err)
	for _, target := range mounted {
		is, err := mountinfo.Mounted(target)
		assert.Check(t, err != nil || !is, "%s is still mounted", target)
	}
}
