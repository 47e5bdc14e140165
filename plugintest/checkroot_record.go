// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	v2 "github.com/dovetailhq/plugin/v2"
)

// pluginFiles are the names that may exist in a plugin's directory.
var pluginFiles = []string{"config.json", "rootfs", "propagated-mount", "output.log", "output.log.old", "manifest.json", "plugin-config.json"}

// checkPlugin checks the directory of a plugin.
func (c *rootChecker) checkPlugin(id string) {
	dir := filepath.Join(c.root, id)
	for _, entry := range c.list(dir) {
		if !slices.Contains(pluginFiles, entry.Name()) {
			c.problem("plugin %s: %s is left", id, entry.Name())
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		c.problem("plugin %s: read record: %v", id, err)
		return
	}
	p := &v2.Plugin{}
	if err := json.Unmarshal(data, p); err != nil {
		c.problem("plugin %s: read record: %v", id, err)
		return
	}
	c.plugins[id], c.raw[id] = p, data
	c.checkRecord(id, p)
	c.checkRootfs(id, c.layers(p))
}

// layers returns the layers in the record, or those of the manifest if docker wrote
// the record without layers.
func (c *rootChecker) layers(p *v2.Plugin) []digest.Digest {
	var manifest ocispec.Manifest
	if !c.DockerRecords || len(p.Blobsums) > 0 || json.Unmarshal(c.read(p.Manifest), &manifest) != nil {
		return p.Blobsums
	}
	return digests(manifest.Layers)
}

func digests(descriptors []ocispec.Descriptor) []digest.Digest {
	all := make([]digest.Digest, len(descriptors))
	for i, descriptor := range descriptors {
		all[i] = descriptor.Digest
	}
	return all
}

// checkRecord checks that a record is complete, and that its parts belong to the
// same version.
func (c *rootChecker) checkRecord(id string, p *v2.Plugin) {
	if p.GetID() != id {
		c.problem("plugin %s: the record belongs to plugin %q", id, p.GetID())
	}
	named, err := reference.ParseNormalizedNamed(p.Name())
	if err != nil || reference.IsNameOnly(named) {
		c.problem("plugin %s: %q is not a name with a tag", id, p.Name())
	}
	if len(p.PluginObj.Config.Entrypoint) == 0 {
		c.problem("plugin %s: the record has no entrypoint", id)
	}
	for what, dgst := range map[string]digest.Digest{"config": p.Config, "manifest": p.Manifest} {
		if dgst == "" {
			c.problem("plugin %s: the record has no %s digest", id, what)
		}
	}
	for _, dgst := range append([]digest.Digest{p.Config, p.Manifest}, c.layers(p)...) {
		c.need(id, dgst)
	}
	if data := c.read(p.Manifest); data != nil {
		c.checkManifest(id, p, data)
	}
	if data := c.read(p.Config); data != nil {
		c.checkConfig(id, p, data)
	}
}

// checkManifest checks that the record and its manifest belong to the same version.
func (c *rootChecker) checkManifest(id string, p *v2.Plugin, data []byte) {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		c.problem("plugin %s: read manifest %s: %v", id, p.Manifest, err)
		return
	}
	if manifest.Config.Digest != p.Config || !slices.Equal(digests(manifest.Layers), c.layers(p)) {
		c.problem("plugin %s: the record and manifest %s are of two versions", id, p.Manifest)
	}
}

// checkConfig checks that the record and its config belong to the same version. It
// ignores settings, because docker's Set changes the config in its records.
func (c *rootChecker) checkConfig(id string, p *v2.Plugin, data []byte) {
	config, err := v2.ParseConfig(data)
	if err != nil {
		c.problem("plugin %s: read config %s: %v", id, p.Config, err)
		return
	}
	blob, blobErr := json.Marshal(unset(config))
	record, recordErr := json.Marshal(unset(p.PluginObj.Config))
	if blobErr != nil || recordErr != nil || !bytes.Equal(blob, record) {
		c.problem("plugin %s: the record and config %s are of two versions", id, p.Config)
	}
}

// unset returns a config without the fields that docker's Set can change.
func unset(config types.PluginConfig) types.PluginConfig {
	config.Mounts = slices.Clone(config.Mounts)
	for i, mount := range config.Mounts {
		if slices.Contains(mount.Settable, "source") {
			config.Mounts[i].Source = nil
		}
	}
	config.Linux.Devices = slices.Clone(config.Linux.Devices)
	for i, device := range config.Linux.Devices {
		if slices.Contains(device.Settable, "path") {
			config.Linux.Devices[i].Path = nil
		}
	}
	return config
}
