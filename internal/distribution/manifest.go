// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// MediaTypeLayer is the type of the layers that this package's callers build.
const MediaTypeLayer = images.MediaTypeDockerSchema2LayerGzip

// OwnConfig returns the author's config of an installed plugin. Docker writes
// settings into the config of its records, and the record of a plugin that docker
// upgraded names the config of the old version. If the store does not have the
// author's config, OwnConfig returns that of the record. The error is that of reading
// the store.
func (s Source) OwnConfig(ctx context.Context, p *v2.Plugin) (types.PluginConfig, error) {
	own := p.Config
	if p.Manifest.Validate() == nil {
		manifest, err := s.Blobs.Manifest(ctx, p.Manifest)
		if err != nil && !errdefs.IsNotFound(err) {
			return types.PluginConfig{}, err
		}
		own = cmp.Or(manifest.Config.Digest, own)
	}
	if own.Validate() != nil { // records of older docker versions name no config
		return p.PluginObj.Config, nil
	}
	data, err := s.Blobs.ReadAll(ctx, own, maxConfigBytes)
	if errdefs.IsNotFound(err) {
		return p.PluginObj.Config, nil
	}
	if err != nil {
		return types.PluginConfig{}, err
	}
	config, err := v2.ParseConfig(data)
	if err == nil && slices.Equal(diffIDs(config), diffIDs(p.PluginObj.Config)) {
		return config, nil
	}
	return p.PluginObj.Config, nil
}

// maxConfigBytes is far above the size of any installed config.
const maxConfigBytes = 16 << 20

// Store stores the config and manifest of a plugin with the layers, held by pin,
// and returns their digests.
func (s Source) Store(ctx context.Context, pin *blobs.Pin, config types.PluginConfig, layers ...ocispec.Descriptor) (configDigest, manifestDigest digest.Digest, err error) {
	configBlob, err := s.put(ctx, pin, remote.MediaTypeConfig, config)
	if err != nil {
		return "", "", err
	}
	manifestBlob, err := s.put(ctx, pin, images.MediaTypeDockerSchema2Manifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: images.MediaTypeDockerSchema2Manifest,
		Config:    configBlob,
		Layers:    layers,
	})
	return configBlob.Digest, manifestBlob.Digest, err
}

func (s Source) put(ctx context.Context, pin *blobs.Pin, mediaType string, document any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	dgst, err := s.Blobs.Put(ctx, pin, data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: int64(len(data))}, err
}

// Manifest returns the digest of the plugin's manifest, held by pin. Docker's
// garbage collection deletes manifests: Manifest makes a missing one again if the
// record names all of its content.
func (s Source) Manifest(ctx context.Context, pin *blobs.Pin, p *v2.Plugin) (digest.Digest, error) {
	pin.Add(p.Manifest, p.Config)
	pin.Add(p.Blobsums...)
	if p.Manifest.Validate() == nil {
		_, err := s.Blobs.Size(ctx, p.Manifest)
		if !errdefs.IsNotFound(err) {
			return p.Manifest, err
		}
	}
	if err := s.checkComplete(ctx, p); err != nil {
		return "", err
	}
	return s.makeManifest(ctx, pin, p)
}

// checkComplete refuses a record that does not name all content of its plugin.
// Docker records no layers after a pull, and the old config and layers after an
// upgrade, which can change the config alone.
func (s Source) checkComplete(ctx context.Context, p *v2.Plugin) error {
	data, err := s.Blobs.ReadAll(ctx, p.Config, maxConfigBytes)
	if err != nil {
		return missing("config", p.Config, err)
	}
	config, err := v2.ParseConfig(data)
	if err != nil {
		return err
	}
	ids := diffIDs(config)
	countDiffers := len(ids) > 0 && len(ids) != len(p.Blobsums)
	same, err := sameConfig(config, p.PluginObj.Config)
	if err != nil {
		return err
	}
	if len(p.Blobsums) == 0 || countDiffers || !same {
		return &remote.MissingError{What: "manifest", Digest: p.Manifest}
	}
	return nil
}

// sameConfig reports whether two configs are equal except for what docker's settings
// change in the config of a record: the sources of mounts and the paths of devices.
func sameConfig(a, b types.PluginConfig) (bool, error) {
	first, err := json.Marshal(withoutSettings(a))
	if err != nil {
		return false, err
	}
	second, err := json.Marshal(withoutSettings(b))
	return bytes.Equal(first, second), err
}

func withoutSettings(config types.PluginConfig) types.PluginConfig {
	config.Mounts = slices.Clone(config.Mounts)
	for i := range config.Mounts {
		config.Mounts[i].Source = nil
	}
	config.Linux.Devices = slices.Clone(config.Linux.Devices)
	for i := range config.Linux.Devices {
		config.Linux.Devices[i].Path = nil
	}
	return config
}

func missing(what string, dgst digest.Digest, err error) error {
	if errdefs.IsNotFound(err) || dgst.Validate() != nil {
		return &remote.MissingError{What: what, Digest: dgst}
	}
	return err
}

// makeManifest makes a manifest from the record's config and layers.
func (s Source) makeManifest(ctx context.Context, pin *blobs.Pin, p *v2.Plugin) (_ digest.Digest, err error) {
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: images.MediaTypeDockerSchema2Manifest}
	if manifest.Config, err = s.describeBlob(ctx, remote.MediaTypeConfig, p.Config); err != nil {
		return "", err
	}
	for _, layer := range p.Blobsums {
		mediaType, err := s.layerType(ctx, layer)
		if err != nil {
			return "", missing("layer", layer, err)
		}
		described, err := s.describeBlob(ctx, mediaType, layer)
		if err != nil {
			return "", err
		}
		manifest.Layers = append(manifest.Layers, described)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	return s.Blobs.Put(ctx, pin, data)
}

func (s Source) describeBlob(ctx context.Context, mediaType string, dgst digest.Digest) (ocispec.Descriptor, error) {
	size, err := s.Blobs.Size(ctx, dgst)
	if err != nil {
		return ocispec.Descriptor{}, missing("blob", dgst, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: size}, nil
}

// layerType returns the media type of a layer, from its bytes.
func (s Source) layerType(ctx context.Context, layer digest.Digest) (string, error) {
	reader, err := s.Blobs.Reader(ctx, layer)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	compression, err := rootfs.DetectCompression(reader)
	if err != nil {
		return "", err
	}
	switch compression {
	case rootfs.Gzip:
		return MediaTypeLayer, nil
	case rootfs.Zstd:
		return images.MediaTypeDockerSchema2LayerZstd, nil
	default:
		return images.MediaTypeDockerSchema2Layer, nil
	}
}
