// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

// exampleOf112 is the example in docker's document on managed plugins of 1.12.
const exampleOf112 = "cd851ce43a403"

func copyExample(t testing.TB, dir string) {
	t.Helper()
	example := os.DirFS(filepath.Join("..", "..", "internal", "legacyroot", "testdata", "seed"))
	assert.NilError(t, os.CopyFS(dir, example))
}

// old is a plugin of docker 1.12.
type old struct {
	id, name string
	active   bool
	manifest string // of the inventory
}

// putOld writes plugins of docker 1.12 and their inventory below dir.
func putOld(t testing.TB, dir string, plugins ...old) {
	t.Helper()
	inventory := map[string]any{}
	for _, p := range plugins {
		for name, content := range map[string]string{"rootfs/plugin": "a program", "rootfs/etc/name": p.name} {
			path := filepath.Join(dir, p.id, name)
			assert.NilError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			assert.NilError(t, os.WriteFile(path, []byte(content), 0o644))
		}
		inventory[p.id] = map[string]any{"plugin": map[string]any{
			"Id": p.id, "Name": p.name, "Tag": "latest", "Active": p.active, "Manifest": json.RawMessage(p.manifest),
		}}
	}
	data, err := json.Marshal(inventory)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "plugins.json"), data, 0o600))
}

// volumeManifest is the manifest of a plugin that the fake executor runs.
const volumeManifest = `{"ManifestVersion": "v0", "Description": "old", "Entrypoint": ["/plugin"],
	"Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "plugin.sock"},
	"Env": [{"Name": "DEBUG", "Value": "0", "Settable": ["value"]}], "Capabilities": ["CAP_SYS_ADMIN"]}`

func digits(digit string) string { return strings.Repeat(digit, 64) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A manager that starts on docker's example has the plugin, enabled, with its old ID.
func TestBootImportsDockersExample(t *testing.T) {
	w := newWorld(t)
	w.Executor.Behaviour = plugintest.Behaviour{Socket: "sshfs.sock"}
	copyExample(t, w.Config.Root)
	w.start()
	p, err := w.Inspect(exampleOf112)
	assert.NilError(t, err)
	assert.Equal(t, p.Name, "vieux/sshfs:latest")
	assert.Check(t, strings.HasPrefix(p.ID, exampleOf112) && len(p.ID) == 64, p.ID)
	assert.DeepEqual(t, p.Config.Entrypoint, []string{"/go/bin/docker-volume-sshfs"})
	assert.DeepEqual(t, p.Config.Linux.Capabilities, []string{"CAP_SYS_ADMIN"})
	assert.Check(t, p.Enabled && w.Alive("vieux/sshfs"))
	assert.Check(t, exists(filepath.Join(w.Config.Root, p.ID, "rootfs", "README")))
	assert.Check(t, !exists(filepath.Join(w.Config.Root, exampleOf112)))
	assert.Check(t, !exists(filepath.Join(w.Config.Root, "plugins.json")))
	assert.Check(t, exists(filepath.Join(w.Config.Root, "plugins.json.imported")))
	assert.Equal(t, len(w.Actions()), 0, "callbacks ran before the daemon was up: %s", w.Actions())
	w.Check("after the import")

	w.restart()
	assert.Check(t, w.Enabled(exampleOf112) && w.Alive(exampleOf112))
	assert.NilError(t, w.Disable(exampleOf112, nil))
	assert.NilError(t, w.Remove(exampleOf112, nil))
	w.Check("after the removal")
	assert.Equal(t, len(w.Blobs()), 0)
}

func TestImportMapsIDs(t *testing.T) {
	w := newWorld(t)
	putOld(t, w.Config.Root,
		old{id: digits("a"), name: "whole", manifest: volumeManifest},
		old{id: "b0b", name: "part", manifest: volumeManifest},
		old{id: "sshfs", name: "host:5000/group/word", manifest: volumeManifest, active: true},
	)
	w.start()
	assert.Equal(t, w.ID("whole"), digits("a"))
	assert.Check(t, strings.HasPrefix(w.ID("part"), "b0b"))
	assert.Equal(t, w.ID("sshfs"), w.ID("host:5000/group/word"))
	assert.Equal(t, len(w.ID("sshfs")), 64)
	assert.Check(t, w.Alive("sshfs") && !w.Alive("part"))
	w.Check("after the import")
	w.restart()
	assert.Equal(t, w.ID("sshfs"), w.ID("host:5000/group/word"))
	assert.Equal(t, w.ID("b0b"), w.ID("part"))
}

// A plugin whose name is an old ID is found before the imported one.
func TestNamesPrecedeOldIDs(t *testing.T) {
	w := newWorld(t)
	putOld(t, w.Config.Root, old{id: "sshfs", name: "other", manifest: volumeManifest})
	w.start()
	assert.Equal(t, w.ID("sshfs"), w.ID("other"))
	created := w.Create("sshfs")
	assert.Equal(t, w.ID("sshfs"), created)
}

// importOf runs ImportLegacy and returns its report by LegacyID.
func (w *world) importOf(dir string) (plugin.ImportReport, map[string]plugin.ImportedPlugin) {
	w.T.Helper()
	report, err := w.ImportLegacy(w.T.Context(), dir)
	assert.NilError(w.T, err)
	entries := map[string]plugin.ImportedPlugin{}
	for _, e := range report.Entries {
		entries[e.LegacyID] = e
	}
	return report, entries
}

// From elsewhere plugins are copied: with the same blobs, and without a change to the
// directories.
func TestImportFromElsewhere(t *testing.T) {
	below := newWorld(t)
	putOld(t, below.Config.Root, old{id: "sshfs", name: "p", manifest: volumeManifest, active: true})
	touchAll(t, below.Config.Root)
	below.start()
	want, err := below.Get("p")
	assert.NilError(t, err)

	w := newWorld(t).start()
	dir := t.TempDir()
	putOld(t, dir, old{id: "sshfs", name: "p", manifest: volumeManifest, active: true})
	touchAll(t, dir)
	report, entries := w.importOf(dir)
	assert.DeepEqual(t, entries, map[string]plugin.ImportedPlugin{"sshfs": {LegacyID: "sshfs", ID: w.ID("p"), Name: "p:latest"}})
	assert.Equal(t, report.Inventory, filepath.Join(dir, "plugins.json.imported"))
	assert.Check(t, exists(filepath.Join(dir, "sshfs", "rootfs", "etc", "name")))
	assert.Check(t, !exists(filepath.Join(dir, "sshfs", "config.json")))
	p, err := w.Get("sshfs")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Blobsums, want.Blobsums)
	assert.Equal(t, p.Manifest, want.Manifest)
	assert.Check(t, w.Enabled("p") && w.Alive("p"))
	assert.DeepEqual(t, w.Actions(), []string{"create p:latest"})
	w.Check("after the import")

	// The inventory comes back: the plugins are known, and the older inventory is kept.
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "plugins.json"), []byte(`{"sshfs": {}}`), 0o600))
	report, entries = w.importOf(dir)
	assert.NilError(t, entries["sshfs"].Err)
	assert.Equal(t, entries["sshfs"].ID, p.GetID())
	assert.Equal(t, report.Inventory, filepath.Join(dir, "plugins.json.imported.2"))
	assert.Check(t, exists(filepath.Join(dir, "plugins.json.imported")))
}

// touchAll gives all files one time, so that equal trees give equal layers.
func touchAll(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
	})
	assert.NilError(t, err)
}

// Each broken entry is reported and left as it is; the others are imported.
func TestBrokenEntriesAreLeft(t *testing.T) {
	w := newWorld(t)
	w.start().Create("taken")
	w.Shutdown()
	root := w.Config.Root
	putOld(t, root,
		old{id: "good", name: "good", manifest: volumeManifest},
		old{id: digits("b"), name: "broken", manifest: `{"Entrypoint": 7}`},
		old{id: "no-rootfs", name: "no-rootfs", manifest: volumeManifest},
		old{id: "taken", name: "taken", manifest: volumeManifest},
		old{id: "Name", name: "Not A Name", manifest: volumeManifest},
		old{id: "whiteout", name: "whiteout", manifest: volumeManifest},
		old{id: "config", name: "config", manifest: volumeManifest},
		old{id: "storage", name: "storage", manifest: volumeManifest},
	)
	assert.NilError(t, os.RemoveAll(filepath.Join(root, "no-rootfs", "rootfs")))
	assert.NilError(t, os.WriteFile(filepath.Join(root, "whiteout", "rootfs", ".wh.x"), nil, 0o600))
	assert.NilError(t, os.WriteFile(filepath.Join(root, "config", "config.json"), []byte("{}"), 0o600))
	inventory, err := os.ReadFile(filepath.Join(root, "plugins.json"))
	assert.NilError(t, err)
	w.start()
	assert.Check(t, w.ID("good") != "")
	for _, id := range []string{digits("b"), "no-rootfs", "taken", "Name", "whiteout", "config", "storage"} {
		assert.Check(t, exists(filepath.Join(root, id)), id)
		if id != "no-rootfs" {
			assert.Check(t, exists(filepath.Join(root, id, "rootfs", "plugin")), id)
		}
	}
	data, err := os.ReadFile(filepath.Join(root, "config", "config.json"))
	assert.NilError(t, err)
	assert.Equal(t, string(data), "{}")

	// The directory that looks like a plugin is listed as broken, with the reason.
	_, err = w.Get(digits("b"))
	assert.Check(t, is.ErrorContains(err, "Entrypoint: a JSON number"))

	// The report has the same results when the inventory is imported again.
	assert.NilError(t, os.WriteFile(filepath.Join(root, "plugins.json"), inventory, 0o600))
	_, entries := w.importOf(root)
	for id, want := range map[string]string{
		"good":      "",
		digits("b"): "Entrypoint: a JSON number",
		"no-rootfs": "rootfs: ",
		"taken":     `plugin taken:latest already exists`,
		"Name":      "invalid plugin name",
		"whiteout":  "whiteout",
		"config":    "config.json, which the plugin's record would replace",
		"storage":   "the name has another use",
	} {
		if want == "" {
			assert.NilError(t, entries[id].Err)
			continue
		}
		assert.Check(t, is.ErrorContains(entries[id].Err, want))
		assert.Check(t, errdefs.IsInvalidArgument(entries[id].Err) || errdefs.IsConflict(entries[id].Err), "%s: %v", id, entries[id].Err)
		assert.Equal(t, entries[id].ID, "")
	}
	assert.Check(t, errors.As(entries["no-rootfs"].Err, new(*plugin.ImportError)))
}

func TestImportWithoutInventory(t *testing.T) {
	w := newWorld(t).start()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		_, err := w.ImportLegacy(t.Context(), dir)
		assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	}
	dir := t.TempDir()
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "plugins.json"), []byte("["), 0o600))
	_, err := w.ImportLegacy(t.Context(), dir)
	assert.Check(t, errors.As(err, new(*plugin.InventoryError)), "%v", err)

	// A root with such an inventory still serves its own plugins.
	w.Create("p")
	w.Shutdown()
	assert.NilError(t, os.WriteFile(filepath.Join(w.Config.Root, "plugins.json"), []byte("["), 0o600))
	w.start()
	assert.Check(t, w.ID("p") != "")
	w.Shutdown()
	_, err = w.ImportLegacy(t.Context(), dir)
	assert.Check(t, errors.As(err, new(*plugin.FencedError)), "%v", err)
}

func TestImportDirectory(t *testing.T) {
	w := newWorld(t).start()
	dir := filepath.Join(t.TempDir(), "mine")
	putOld(t, filepath.Dir(dir), old{id: "mine", manifest: "null"})
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(volumeManifest), 0o600))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "plugin-config.json"), []byte(`{"Env": ["DEBUG=5"]}`), 0o600))
	imported, err := w.ImportDirectory(t.Context(), dir, "host:5000/mine")
	assert.NilError(t, err)
	assert.DeepEqual(t, imported, plugin.ImportedPlugin{LegacyID: "mine", ID: w.ID("host:5000/mine"), Name: "host:5000/mine:latest"})
	p, err := w.Inspect(imported.ID)
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Settings.Env, []string{"DEBUG=5"})
	assert.Check(t, !p.Enabled)
	assert.DeepEqual(t, w.Actions(), []string{"create host:5000/mine:latest"})
	w.MustEnable(imported.ID)
	assert.NilError(t, w.Disable(imported.ID, nil))

	config, err := json.Marshal(plugintest.Config("docker.volumedriver/1.0"))
	assert.NilError(t, err)
	assert.NilError(t, os.Remove(filepath.Join(dir, "manifest.json")))
	assert.NilError(t, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600))
	_, err = w.ImportDirectory(t.Context(), dir, "modern")
	assert.NilError(t, err)
	w.MustEnable("modern")
	w.Check("after both")

	for name, want := range map[string]string{"modern": "already exists", "Not A Name": "invalid plugin name"} {
		_, err = w.ImportDirectory(t.Context(), dir, name)
		assert.Check(t, is.ErrorContains(err, want))
	}
	_, err = w.ImportDirectory(t.Context(), t.TempDir(), "empty")
	assert.Check(t, errors.As(err, new(*plugin.ImportError)), "%v", err)
	w.Check("after refusals")
}

// An imported plugin can be pushed, and pulled elsewhere.
func TestImportedPluginCanBePushed(t *testing.T) {
	w := newWorld(t)
	w.Config.RegistryService = testworld.PlainHTTP{}
	host := fake.New().Start(t)
	putOld(t, w.Config.Root, old{id: "sshfs", name: host + "/group/p", manifest: volumeManifest})
	w.start()
	assert.NilError(t, w.Push(t.Context(), host+"/group/p", nil, nil, nil))
	other := newWorld(t)
	other.Config.RegistryService = testworld.PlainHTTP{}
	other.start()
	grants := types.PluginPrivileges{{Name: "capabilities", Value: []string{"CAP_SYS_ADMIN"}}}
	_, err := other.pull(host+"/group/p:latest", "p", grants)
	assert.NilError(t, err)
	data, err := os.ReadFile(filepath.Join(other.Config.Root, other.ID("p"), "rootfs", "etc", "name"))
	assert.NilError(t, err)
	assert.Equal(t, string(data), host+"/group/p")
}

// importRoot imports below the root, and returns why an entry is not imported.
func (f *faultyWorld) importRoot() error {
	report, err := f.ImportLegacy(f.T.Context(), f.Config.Root)
	if len(report.Entries) == 0 {
		return err
	}
	return report.Entries[0].Err // an inventory that keeps its name is imported again
}

// oldPlugins have each form of an ID.
var oldPlugins = []old{
	{id: digits("a"), name: "whole", manifest: volumeManifest, active: true},
	{id: "b0b", name: "part", manifest: volumeManifest},
	{id: "word", name: "word", manifest: volumeManifest, active: true},
}

const allOld = `part:latest false [DEBUG=0] "old"
whole:latest true [DEBUG=0] "old"
word:latest true [DEBUG=0] "old"`

// TestImportAtBootCanStopAtEveryStep fails each step of a boot that imports, and those
// after it in a crash, before and after it happens. The next boot completes the import,
// and the result is that of an import without a failure.
func TestImportAtBootCanStopAtEveryStep(t *testing.T) {
	for _, form := range []struct {
		name  string
		fails func(call, k int) bool
	}{
		{"failure", func(call, k int) bool { return call == k }},
		{"crash", func(call, k int) bool { return call >= k }},
	} {
		t.Run(form.name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				f := unstarted(t)
				putOld(t, f.Config.Root, oldPlugins...)
				f.arm(func(call int) bool { return form.fails(call, k) })
				err := f.boot()
				if form.name == "crash" && err == nil {
					f.newest.crash()
				}
				reached = int(f.calls.Load()) > k
				f.crashed(err)
				assert.Equal(t, f.state(), allOld, "step %d", k)
				assert.Check(t, f.Alive("whole") && f.Alive("word"), "step %d", k)
				assert.Check(t, exists(filepath.Join(f.Config.Root, "plugins.json.imported")), "step %d", k)
				f.Check("step %d", k)
				f.Shutdown()
			}
		})
	}
}

// crashed starts another manager after a boot that ended with err, and then ends the
// manager of the boot.
func (f *faultyWorld) crashed(err error) {
	f.T.Helper()
	earlier := f.Manager
	assert.NilError(f.T, f.Executor.Close())
	f.start()
	if err == nil {
		earlier.Shutdown()
	}
	f.disarm()
}

// TestImportInContainer imports below a root in the lower layer of an overlayfs, where a
// directory can't be renamed: a plugin whose directory would get another name is copied.
func TestImportInContainer(t *testing.T) {
	dir := t.TempDir()
	mountAt(t, "none", dir, "tmpfs", 0, "")
	for _, sub := range []string{"lower", "upper", "work", "root"} {
		assert.NilError(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	putOld(t, filepath.Join(dir, "lower"), oldPlugins...)
	mountAt(t, "overlay", filepath.Join(dir, "root"), "overlay", 0,
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,redirect_dir=off", dir))
	w := newWorld(t)
	w.Config.Root = filepath.Join(dir, "root")
	w.start()
	assert.Equal(t, w.state(), allOld)
	assert.Check(t, exists(filepath.Join(w.Config.Root, "word", "rootfs")), "the directory is left")
	assert.Check(t, !exists(filepath.Join(w.Config.Root, "word", "config.json")))
	w.Check("after the import")
	w.restart()
	assert.Equal(t, w.state(), allOld)
	assert.Equal(t, w.ID("word"), w.ID("word:latest"))
}
