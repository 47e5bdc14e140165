// SPDX-License-Identifier: Apache-2.0

// Package legacyroot reads the plugin directories of docker 1.12, the first that had
// managed plugins, as an experiment:
//
//	<dir>/plugins.json              the inventory: name, state, manifest and settings of each plugin
//	<dir>/<id>/rootfs               the root file system of a plugin
//	<dir>/<id>/manifest.json        its manifest, version 0: docker 1.13 renamed it config
//	<dir>/<id>/plugin-config.json   its settings
//
// Users made such directories by hand, see
// https://github.com/moby/moby/blob/v1.12.6/docs/extend/index.md, so an ID can be any
// file name. The manifest is described in
// https://github.com/moby/moby/blob/v1.12.6/docs/extend/manifest.md. Later versions of
// docker ignore the inventory.
//
// The files are untrusted: their sizes are bounded, and no name leads out of the
// directory. The package changes nothing.
package legacyroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/docker/api/types"

	v2 "github.com/dovetailhq/plugin/v2"
)

// The names of the files.
const (
	InventoryName = "plugins.json"
	RootfsName    = "rootfs"
	ManifestName  = "manifest.json"
	SettingsName  = "plugin-config.json"
	ConfigName    = "config.json" // of a plugin for docker 1.13 and later
)

// Plugin is a plugin of docker 1.12, in today's types.
type Plugin struct {
	// ID is the name of its directory, as docker 1.12 used it.
	ID string
	// Name has the tag, if the inventory has one.
	Name     string
	Enabled  bool
	Config   types.PluginConfig
	Settings types.PluginSettings
}

// ReadDirectory reads the directory of one plugin, without an inventory: a rootfs,
// and either a manifest with optional settings or a config.json as for docker's
// "plugin create". The plugin has no name, and its ID is the directory's name.
//
// Errors: [EntryError], and those of the file system.
func ReadDirectory(dir string) (Plugin, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Plugin{}, err
	}
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return Plugin{}, err
	}
	defer parent.Close()
	d, err := openDirectory(parent, filepath.Base(dir))
	if err != nil {
		return Plugin{}, err
	}
	defer d.close()
	p := Plugin{ID: d.id}
	hasManifest, hasConfig := d.has(ManifestName), d.has(ConfigName)
	switch {
	case hasManifest && hasConfig:
		return Plugin{}, d.broken("", errors.New("it has manifest.json and config.json: remove the file that does not describe the plugin"))
	case hasConfig:
		err = d.readConfig(&p)
	case hasManifest:
		err = d.describe(&p, nil, nil)
	default:
		err = d.broken("", errors.New("it has neither manifest.json nor config.json"))
	}
	if err != nil {
		return Plugin{}, err
	}
	return p, nil
}

// directory is the open directory of a plugin.
type directory struct {
	id   string
	root *os.Root
}

func openDirectory(parent *os.Root, id string) (*directory, error) {
	if err := checkDirectory(parent.Lstat(id)); err != nil {
		return nil, brokenUnlessHost(id, "", err)
	}
	root, err := parent.OpenRoot(id)
	if err != nil {
		return nil, brokenUnlessHost(id, "", err)
	}
	d := &directory{id: id, root: root}
	if err := checkDirectory(root.Lstat(RootfsName)); err != nil {
		d.close()
		return nil, brokenUnlessHost(id, RootfsName, err)
	}
	return d, nil
}

func (d *directory) close() { _ = d.root.Close() }

func (d *directory) broken(file string, err error) error {
	return &EntryError{ID: d.id, File: file, Err: err}
}

func (d *directory) has(name string) bool {
	_, err := d.root.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// describe sets the config and the settings of p from a manifest and settings of the
// inventory, or from the files where the inventory has none: docker 1.12 reads the
// files at an install, and the inventory at each start.
func (d *directory) describe(p *Plugin, manifest, settings []byte) (err error) {
	if manifest == nil {
		if manifest, err = d.read(ManifestName); err != nil {
			return err
		}
	}
	if p.Config, err = parseManifest(manifest); err != nil {
		return d.broken(ManifestName, err)
	}
	if settings == nil && d.has(SettingsName) {
		if settings, err = d.read(SettingsName); err != nil {
			return err
		}
	}
	if p.Settings, err = parseSettings(settings, p.Config); err != nil {
		return d.broken(SettingsName, err)
	}
	return nil
}

// readConfig sets the config of p from config.json, and the settings to its values.
func (d *directory) readConfig(p *Plugin) error {
	data, err := d.read(ConfigName)
	if err != nil {
		return err
	}
	if p.Config, err = v2.ParseConfig(data); err == nil {
		err = v2.ValidateConfig(p.Config)
	}
	if err != nil {
		return d.broken(ConfigName, err)
	}
	p.Settings = defaults(p.Config)
	return nil
}

func (d *directory) read(name string) ([]byte, error) {
	data, err := readFile(d.root, name, maxDocumentBytes)
	if err != nil {
		return nil, brokenUnlessHost(d.id, name, err)
	}
	return data, nil
}
