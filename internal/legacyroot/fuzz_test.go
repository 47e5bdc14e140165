// SPDX-License-Identifier: Apache-2.0

package legacyroot

import (
	"os"
	"path/filepath"
	"testing"

	"gotest.tools/v3/assert"

	v2 "github.com/dovetailhq/plugin/v2"
)

// FuzzInventory: an inventory gives an error, or entries. Each entry has a config that can
// be installed, or an [EntryError]. Nothing is read outside the
// directory.
func FuzzInventory(f *testing.F) {
	inventory, err := os.ReadFile("testdata/seed/plugins.json")
	assert.NilError(f, err)
	manifest, err := os.ReadFile("testdata/seed/cd851ce43a403/manifest.json")
	assert.NilError(f, err)
	settings, err := os.ReadFile("testdata/seed/cd851ce43a403/plugin-config.json")
	assert.NilError(f, err)
	f.Add(inventory, manifest, settings)
	f.Add([]byte(`{"cd851ce43a403": {"plugin": {"name": "n"}}, "../cd851ce43a403": {}, "b": {"plugin": {"Name": "x"}}}`), []byte(full), []byte(`{"Env": ["A=b"]}`))
	f.Fuzz(func(t *testing.T, inventory, manifest, settings []byte) {
		above := root{t, t.TempDir()}
		above.write("manifest.json", "{}").plugin(".")
		r := root{t, filepath.Join(above.dir, "below")}
		r.plugin("cd851ce43a403").write(InventoryName, string(inventory)).
			write("cd851ce43a403/manifest.json", string(manifest)).
			write("cd851ce43a403/plugin-config.json", string(settings))
		entries, err := ReadInventory(r.dir)
		if err != nil {
			assert.ErrorType(t, err, &InventoryError{})
			return
		}
		for _, e := range entries {
			if e.Err != nil {
				assert.ErrorType(t, e.Err, &EntryError{})
				continue
			}
			assert.Equal(t, e.ID, "cd851ce43a403", "the other directories have no rootfs")
			assert.Check(t, e.Name != "")
			assert.NilError(t, v2.ValidateConfig(e.Config))
		}
	})
}
