// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of plugins, as docker pushes them.
const (
	MediaTypeManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeConfig   = "application/vnd.docker.plugin.v1+json"
	MediaTypeLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// PutPlugin adds a plugin in the form that docker pushes. Layers are
// gzip-compressed archives, lowest first. It returns the manifest's descriptor.
func (r *Registry) PutPlugin(name, tag string, config []byte, layers ...[]byte) ocispec.Descriptor {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: MediaTypeManifest,
		Config:    r.describe(name, MediaTypeConfig, config),
	}
	for _, layer := range layers {
		m.Layers = append(m.Layers, r.describe(name, MediaTypeLayer, layer))
	}
	return r.PutDocument(name, tag, m.MediaType, m)
}

// PutIndex adds a plugin for several platforms. Each descriptor of a manifest has
// its platform.
func (r *Registry) PutIndex(name, tag string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	return r.PutDocument(name, tag, MediaTypeIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: MediaTypeIndex,
		Manifests: manifests,
	})
}

// PutDocument adds any manifest or index, encoded as JSON.
func (r *Registry) PutDocument(name, tag, mediaType string, document any) ocispec.Descriptor {
	data, err := json.Marshal(document)
	if err != nil {
		panic("registry: encode manifest: " + err.Error()) // the test passed a document that can't be encoded
	}
	id := r.PutManifest(name, tag, mediaType, data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: id, Size: int64(len(data))}
}

func (r *Registry) describe(name, mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: r.PutBlob(name, data), Size: int64(len(data))}
}
