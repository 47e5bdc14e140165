// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/blobs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// TestManifestMadeAgain makes a collected manifest again if the record names the
// plugin's own config. Docker's record of an upgrade names that of the old version.
func TestManifestMadeAgain(t *testing.T) {
	source, path := "/from", "/dev/from"
	author := func() types.PluginConfig {
		c := types.PluginConfig{Description: "v1", Entrypoint: []string{"/v1"}, Network: types.PluginConfigNetwork{Type: "none"}}
		c.Mounts = []types.PluginMount{{Name: "m", Source: &source, Destination: "/to"}}
		c.Linux.Devices = []types.PluginDevice{{Name: "d", Path: &path}}
		return c
	}
	other := "/other"
	for _, test := range []struct {
		name   string
		change func(c *types.PluginConfig) // in the record
		made   bool
	}{
		{"same", func(*types.PluginConfig) {}, true},
		{"source of a mount set", func(c *types.PluginConfig) { c.Mounts[0].Source = &other }, true},
		{"path of a device set", func(c *types.PluginConfig) { c.Linux.Devices[0].Path = &other }, true},
		{"description", func(c *types.PluginConfig) { c.Description = "v2" }, false},
		{"entrypoint", func(c *types.PluginConfig) { c.Entrypoint = []string{"/v2"} }, false},
		{"privilege", func(c *types.PluginConfig) { c.Network.Type = "host" }, false},
		{"destination of a mount", func(c *types.PluginConfig) { c.Mounts[0].Destination = other }, false},
		{"layers", func(c *types.PluginConfig) { c.Rootfs = &types.PluginConfigRootfs{DiffIds: []string{"sha256:0"}} }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			store, err := blobs.Open(filepath.Join(t.TempDir(), "storage"), nil)
			assert.NilError(t, err)
			pin := store.NewPin()
			put := func(data []byte) digest.Digest {
				dgst, err := store.Put(t.Context(), pin, data)
				assert.NilError(t, err)
				return dgst
			}
			layer := put(make([]byte, 1024))
			rootfs := &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{layer.String()}}
			stored, installed := author(), author()
			stored.Rootfs, installed.Rootfs = rootfs, rootfs
			test.change(&installed)
			data, err := json.Marshal(stored)
			assert.NilError(t, err)
			p := &v2.Plugin{PluginObj: types.Plugin{Config: installed}, Config: put(data), Manifest: digest.FromString("collected"), Blobsums: []digest.Digest{layer}}

			made, err := Source{Blobs: store}.Manifest(t.Context(), pin, p)
			if !test.made {
				assert.Check(t, errdefs.IsNotFound(err), "%v", err)
				return
			}
			assert.NilError(t, err)
			manifest, err := store.Manifest(t.Context(), made)
			assert.NilError(t, err)
			assert.Equal(t, manifest.Config.Digest, p.Config)
		})
	}
}

// TestOwnConfig returns the config of the record only if the store does not have the
// author's. A damaged blob is an error.
func TestOwnConfig(t *testing.T) {
	for _, test := range []struct {
		name, gone, damaged string // blobs
		want                string
	}{
		{name: "all there", want: "author"},
		{name: "manifest gone", gone: "manifest", want: "author before"},
		{name: "config gone", gone: "config", want: "record"},
		{name: "manifest damaged", damaged: "manifest"},
		{name: "config damaged", damaged: "config"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "storage")
			store, err := blobs.Open(dir, nil)
			assert.NilError(t, err)
			pin := store.NewPin()
			put := func(document any) digest.Digest {
				data, err := json.Marshal(document)
				assert.NilError(t, err)
				dgst, err := store.Put(t.Context(), pin, data)
				assert.NilError(t, err)
				return dgst
			}
			config := put(types.PluginConfig{Description: "author"})
			manifest := put(ocispec.Manifest{Config: ocispec.Descriptor{Digest: config}})
			p := &v2.Plugin{PluginObj: types.Plugin{Config: types.PluginConfig{Description: "record"}}, Config: put(types.PluginConfig{Description: "author before"}), Manifest: manifest}
			path := func(blob string) string {
				return filepath.Join(dir, "blobs", "sha256", map[string]digest.Digest{"config": config, "manifest": manifest}[blob].Encoded())
			}
			if test.gone != "" {
				assert.NilError(t, os.Remove(path(test.gone)))
			}
			if test.damaged != "" {
				assert.NilError(t, os.Chmod(path(test.damaged), 0o600))
				assert.NilError(t, os.WriteFile(path(test.damaged), []byte("{}"), 0o600))
			}
			own, err := Source{Blobs: store}.OwnConfig(t.Context(), p)
			assert.Equal(t, err == nil, test.damaged == "", "%v", err)
			assert.Equal(t, own.Description, test.want)
		})
	}
}
