// SPDX-License-Identifier: Apache-2.0

package drive

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
)

// PutLegacy writes a version as the only plugin in the inventory of docker 1.12 in dir.
// All of it is durable, like what docker left long ago, before the inventory is.
func (v Versions) PutLegacy(dir, id, name, version string) error {
	inventory, err := v.inventory(id, name, version)
	if err != nil {
		return err
	}
	_, files := v.content(version)
	rootfs := filepath.Join(dir, id, "rootfs")
	if err := os.MkdirAll(filepath.Join(rootfs, "data"), 0o755); err != nil {
		return err
	}
	for file, content := range files {
		if err := putDurably(filepath.Join(rootfs, filepath.FromSlash(file)), []byte(content)); err != nil {
			return err
		}
	}
	for _, parent := range []string{filepath.Join(rootfs, "data"), rootfs, filepath.Join(dir, id), dir} {
		if err := syncPath(parent); err != nil {
			return err
		}
	}
	temporary := filepath.Join(dir, "plugins.json.new")
	if err := putDurably(temporary, inventory); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, "plugins.json"))
}

func (v Versions) inventory(id, name, version string) ([]byte, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	config, _ := v.content(version)
	return json.Marshal(map[string]any{id: map[string]any{"plugin": map[string]any{
		"Id":   id,
		"Name": reference.FamiliarName(named),
		"Tag":  reference.TagNameOnly(named).(reference.Tagged).Tag(),
		"Manifest": map[string]any{
			"ManifestVersion": "v0",
			"Description":     config.Description,
			"Entrypoint":      config.Entrypoint,
			"Interface":       config.Interface,
			"Network":         config.Network,
			"Env":             config.Env,
		},
	}}})
}

func putDurably(path string, content []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncPath(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
