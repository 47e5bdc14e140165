// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/legacyroot"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// importedSuffix ends the name of an inventory that was imported.
const importedSuffix = ".imported"

// ImportLegacy imports the plugins of docker 1.12 that the inventory plugins.json in
// dir lists, each with the rootfs, manifest.json and plugin-config.json in the
// directory of its ID. [NewManager] does so for its own root before it starts plugins.
//
// A plugin keeps its name, its settings and its ID if that has 64 hexadecimal digits.
// Otherwise it gets a new ID, and the old one still refers to it. Plugins that were
// active become enabled; ImportLegacy starts them, and returns when each runs or has
// failed once. The privileges of the manifest count as granted, as docker 1.12 asked
// for them. The plugin can be pushed.
//
// Below the manager's root the directory of a plugin becomes that of the new plugin.
// From elsewhere the rootfs is copied, and nothing is removed. An entry that can't be
// imported is left as it is, and reported; it does not affect the others. At the end
// the inventory gets the suffix ".imported". After a crash, or an error that can pass,
// it keeps its name, and another call continues: plugins that were imported count as
// imported.
//
// ImportLegacy waits for other imports, and for creates as [Manager.CreateFromContext]
// does. When ctx ends it returns the report so far with the error of ctx.
//
// Errors: [InventoryError] if the inventory is missing or can't be read as a whole,
// [FencedError], the error of ctx, and class System for the host. Errors of single
// entries are in the report.
func (pm *Manager) ImportLegacy(ctx context.Context, dir string) (_ ImportReport, retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	if err := pm.importing.Lock(ctx); err != nil {
		return ImportReport{}, err
	}
	defer pm.importing.Unlock()
	dir, err := pm.importDir(dir)
	if err != nil {
		return ImportReport{}, err
	}
	entries, err := legacyroot.ReadInventory(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = &legacyroot.InventoryError{Path: filepath.Join(dir, legacyroot.InventoryName), Err: fs.ErrNotExist}
	}
	if err != nil {
		return ImportReport{}, err
	}
	i := &legacyImport{manager: pm, dir: dir}
	report, err := i.all(ctx, entries)
	i.start()
	return report, err
}

// ImportDirectory installs the plugin in dir, which no inventory lists, under a name:
// a rootfs, and either manifest.json with an optional plugin-config.json, as in docker
// 1.12, or config.json, as for [Manager.CreateFromContext]. The plugin is disabled. The
// directory is copied, and not changed.
//
// Errors: [ImportError], and those of CreateFromContext.
func (pm *Manager) ImportDirectory(ctx context.Context, dir, name string) (_ ImportedPlugin, retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	name, err := parseNewName(name)
	if err != nil {
		return ImportedPlugin{}, err
	}
	p, err := legacyroot.ReadDirectory(dir)
	if err != nil {
		return ImportedPlugin{}, err
	}
	i := &legacyImport{manager: pm, dir: filepath.Dir(dir)}
	id := ids.New()
	if err := i.copy(ctx, p, name, id); err != nil {
		return ImportedPlugin{}, err
	}
	return ImportedPlugin{LegacyID: p.ID, ID: id, Name: name}, nil
}

// importDir returns a directory as an absolute path without links, as the root has it.
func (pm *Manager) importDir(dir string) (string, error) {
	if err := pm.writable(); err != nil {
		return "", err
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", &InvalidError{What: "directory of plugins", Err: err}
	}
	return dir, nil
}

// legacyImport is one import from a directory.
type legacyImport struct {
	manager *Manager
	dir     string
	atBoot  bool // before callbacks of the daemon may run, and before plugins are started
	units   []*unit
}

// all imports the entries of the inventory, and renames it if no entry can be imported
// by another attempt.
func (i *legacyImport) all(ctx context.Context, entries []legacyroot.Entry) (ImportReport, error) {
	report := ImportReport{Inventory: filepath.Join(i.dir, legacyroot.InventoryName)}
	again := false
	for _, e := range entries {
		result := i.one(ctx, e)
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
		i.log(result)
		again = again || result.Err != nil && canPass(result.Err)
		report.Entries = append(report.Entries, result)
	}
	if again {
		return report, nil
	}
	done, err := i.rename(report.Inventory)
	if err != nil {
		return report, &StorageError{Op: "import", Name: report.Inventory, Err: err}
	}
	report.Inventory = done
	return report, nil
}

// canPass reports whether another attempt can succeed while the plugin's
// files and the other plugins stay as they are.
func canPass(err error) bool {
	return !errdefs.IsInvalidArgument(err) && !errdefs.IsConflict(err)
}

// rename marks an inventory as imported. It replaces no earlier one.
func (i *legacyImport) rename(inventory string) (done string, err error) {
	done = inventory + importedSuffix
	for n := 2; ; n++ {
		if _, err := os.Lstat(done); errors.Is(err, fs.ErrNotExist) {
			break
		}
		done = fmt.Sprintf("%s%s.%d", inventory, importedSuffix, n)
	}
	return done, i.manager.files.Rename(inventory, done)
}

func (i *legacyImport) log(result ImportedPlugin) {
	logger := i.manager.logger().WithField("legacy", result.LegacyID).WithField("name", result.Name)
	if result.Err != nil {
		logger.WithError(result.Err).Error("import plugin of docker 1.12: it is left as it is")
		return
	}
	logger.WithField("plugin", result.ID).Info("imported plugin of docker 1.12")
}

// one imports one entry, unless an earlier import has.
func (i *legacyImport) one(ctx context.Context, e legacyroot.Entry) ImportedPlugin {
	result := ImportedPlugin{LegacyID: e.ID, Name: e.Name, Err: e.Err}
	id := ids.FromLegacy(e.ID)
	if p, broken := i.manager.config.Store.find(id); p != nil {
		return ImportedPlugin{LegacyID: e.ID, ID: id, Name: p.Name()}
	} else if broken != nil && result.Err == nil {
		result.Err = &BrokenError{ID: id, Err: broken}
	}
	if result.Err == nil {
		result.Err = i.install(ctx, e.Plugin, id)
	}
	plain(&result.Err)
	if result.Err == nil {
		p, _ := i.manager.config.Store.find(id)
		result.ID, result.Name = id, p.Name()
	}
	return result
}

// install adopts the directory of a plugin, or copies it if it can't be adopted.
func (i *legacyImport) install(ctx context.Context, p legacyroot.Plugin, id string) error {
	name, err := parseNewName(p.Name)
	if err != nil {
		return err
	}
	if i.dir == i.manager.root.Dir() {
		err := i.adopt(ctx, p, name, id)
		// The file system can refuse to rename a directory, as overlayfs does.
		if id == p.ID || !errors.Is(err, syscall.EXDEV) {
			return err
		}
	}
	return i.copy(ctx, p, name, id)
}

// adopt makes the directory of a plugin below the root that of the new plugin.
func (i *legacyImport) adopt(ctx context.Context, from legacyroot.Plugin, name, id string) error {
	leave, err := i.manager.creates.Take(ctx, func() {})
	if err != nil {
		return err
	}
	defer leave()
	in, err := i.manager.reserve(name, id)
	if err != nil {
		return err
	}
	adoption, err := i.manager.root.Adopt(from.ID, id)
	if err != nil {
		in.release()
		return in.adoptionError(err)
	}
	in.place, in.pin = adoption, i.manager.blobs.NewPin()
	defer in.end()
	if err := in.checkLeftover(adoption); err != nil {
		return err
	}
	p, err := in.pack(ctx, from, adoption.Rootfs())
	if err != nil {
		return err
	}
	return i.finish(ctx, in, p, from)
}

// adoptionError gives an error of [layout.Root.Adopt] its class.
func (in *install) adoptionError(err error) error {
	switch {
	case errors.Is(err, os.ErrExist):
		return &ExistsError{Name: in.id}
	case errors.Is(err, os.ErrInvalid):
		return &InvalidError{What: "plugin directory", Err: err}
	}
	return in.storageError(err)
}

// checkLeftover refuses to replace a config.json that is not the record of an
// interrupted import.
func (in *install) checkLeftover(adoption *layout.Adoption) error {
	data, err := adoption.Leftover()
	if err != nil {
		return in.storageError(err)
	}
	p := &v2.Plugin{}
	if data == nil || json.Unmarshal(data, p) == nil && p.GetID() == in.id {
		return nil
	}
	return &InvalidError{What: "plugin directory", Err: errors.New("it has a config.json, which the plugin's record would replace: move it away")}
}

// pack makes the plugin's blobs of a rootfs, as a create does.
func (in *install) pack(ctx context.Context, from legacyroot.Plugin, dir string) (*v2.Plugin, error) {
	layer, err := in.manager.blobs.Ingest(ctx, in.pin)
	if err != nil {
		return nil, in.storageError(err)
	}
	defer layer.Abort()
	diffID, err := rootfs.PackLayer(ctx, dir, layer, in.manager.archiveLimits())
	if err != nil {
		return nil, err
	}
	return in.complete(ctx, from.Config, diffID, layer)
}

// copy installs a plugin from a directory that stays as it is.
func (i *legacyImport) copy(ctx context.Context, from legacyroot.Plugin, name, id string) error {
	leave, err := i.manager.creates.Take(ctx, func() {})
	if err != nil {
		return err
	}
	defer leave()
	in, err := i.manager.beginInstallAs(ctx, name, id)
	if err != nil {
		return err
	}
	defer in.end()
	config, err := json.Marshal(from.Config)
	if err != nil {
		return in.storageError(err)
	}
	source := filepath.Join(i.dir, from.ID, legacyroot.RootfsName)
	buildContext := rootfs.BuildContext(ctx, config, source, i.manager.archiveLimits())
	defer buildContext.Close()
	p, err := in.build(ctx, buildContext)
	if err != nil {
		return err
	}
	return i.finish(ctx, in, p, from)
}

// finish commits a plugin with its settings and desired state.
func (i *legacyImport) finish(ctx context.Context, in *install, p *v2.Plugin, from legacyroot.Plugin) error {
	p.PluginObj.Settings = from.Settings
	p.PluginObj.Enabled = from.Enabled
	out := progress.DiscardOutput()
	i.manager.warnOfConfig(in.name, p.PluginObj.Config, out)
	if err := in.settle(ctx, p, out); err != nil {
		return err
	}
	u := newUnit(&i.manager.host, p, nil) // docker may have left its process
	u.takenOver = true
	i.units = append(i.units, u)
	if i.atBoot {
		i.manager.register(u)
		return nil
	}
	u.operation <- struct{}{} // no other verb has seen it
	i.manager.register(u)
	u.announce(events.ActionCreate, EventCreate{Plugin: p.Snapshot()})
	u.release()
	return nil
}

// loadAndImport is load, followed by the import of plugins of docker 1.12 below the
// root. No plugin is started yet.
func (pm *Manager) loadAndImport(found []layout.Recovered) {
	entries, err := legacyroot.ReadInventory(pm.root.Dir())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			pm.logger().WithError(err).Error("read inventory of docker 1.12: its plugins are not imported")
		}
		pm.load(found)
		return
	}
	found, unrecorded := withoutListed(found, entries)
	pm.load(found)
	pm.logger().WithField("entries", len(entries)).Info("import plugins of docker 1.12")
	i := &legacyImport{manager: pm, dir: pm.root.Dir(), atBoot: true}
	report, err := i.all(pm.ctx, entries)
	if err != nil {
		pm.logger().WithError(err).Error("import plugins of docker 1.12")
	}
	for _, result := range report.Entries {
		if result.Err != nil && unrecorded[result.LegacyID] {
			pm.register(newBrokenUnit(&pm.host, result.LegacyID, result.Err))
			pm.config.Store.addBroken(result.LegacyID, result.Err)
		}
	}
}

// withoutListed removes the directories without a record that an inventory lists, and
// returns their IDs.
func withoutListed(found []layout.Recovered, entries []legacyroot.Entry) (_ []layout.Recovered, unrecorded map[string]bool) {
	unrecorded = map[string]bool{}
	listed := map[string]bool{}
	for _, e := range entries {
		listed[e.ID] = true
	}
	return slices.DeleteFunc(found, func(one layout.Recovered) bool {
		if listed[one.ID] && errors.Is(one.Err, fs.ErrNotExist) {
			unrecorded[one.ID] = true
		}
		return unrecorded[one.ID]
	}), unrecorded
}

// start brings the processes of the plugins that were imported in line with their
// desired states.
func (i *legacyImport) start() { i.manager.startAll(i.units) }
