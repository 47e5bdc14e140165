// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bufio"
	"bytes"
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
)

// layer is a layer of a source.
type layer struct {
	open func() (io.ReadCloser, error)
	// diffID is the digest of the uncompressed layer that the source names, or empty.
	diffID digest.Digest
	// keep keeps the layer also if it is uncompressed.
	keep bool
}

// storedLayer is a layer in the store.
type storedLayer struct {
	ocispec.Descriptor
	diffID digest.Digest
}

// addLayers stores the layers of a material, and adds their entries to t.
func (b *Builder) addLayers(ctx context.Context, m *material, t *tree) ([]storedLayer, error) {
	limits := b.options.Limits.Archives
	if err := limits.CheckStored(make([]int64, len(m.layers))); err != nil {
		return nil, err
	}
	scanner := rootfs.NewScanner(limits)
	var stored []storedLayer
	for _, one := range m.layers {
		t.beginLayer()
		added, err := b.addLayer(ctx, one, scanner, t)
		if err != nil {
			return nil, err
		}
		if one.diffID != "" && added.diffID != one.diffID {
			return nil, imagefile.Invalidf("layer %s has the digest %s, the image's config lists %s", added.Digest, added.diffID, one.diffID)
		}
		if added.MediaType == images.MediaTypeDockerSchema2LayerZstd {
			m.warnings = append(m.warnings, "layer "+added.Digest.String()+" is compressed by zstd, which docker 28 ignores: it installs the plugin without the layer")
		}
		stored = append(stored, added)
	}
	return stored, nil
}

// addLayer stores a layer while its entries are read.
func (b *Builder) addLayer(ctx context.Context, one layer, scanner *rootfs.Scanner, t *tree) (storedLayer, error) {
	source, err := one.open()
	if err != nil {
		return storedLayer{}, err
	}
	defer source.Close()
	ingest, err := b.store.Ingest(ctx, b.pin)
	if err != nil {
		return storedLayer{}, err
	}
	defer ingest.Abort()
	buffered := bufio.NewReaderSize(source, readBytes)
	start, err := buffered.Peek(startBytes)
	if err != nil && err != io.EOF {
		return storedLayer{}, err
	}
	compression, err := rootfs.DetectCompression(bytes.NewReader(start))
	if err != nil {
		return storedLayer{}, err
	}
	mediaType, sink, finish := b.sinkFor(compression, ingest, one.keep)
	scanned, err := scanner.Scan(ctx, io.TeeReader(buffered, sink), t.add)
	if finished := finish(); err == nil {
		err = finished
	}
	if err != nil {
		return storedLayer{}, err
	}
	blob, err := ingest.Commit(ctx)
	if err != nil {
		return storedLayer{}, err
	}
	return storedLayer{ocispec.Descriptor{MediaType: mediaType, Digest: blob.Digest, Size: blob.Size}, scanned.DiffID}, nil
}

const (
	// readBytes is the size of a read of a layer.
	readBytes = 128 << 10
	// startBytes show how a layer is compressed.
	startBytes = 4
)

// sinkFor returns where the bytes of a layer go: to the store, or to a compressor. The
// caller calls finish at the end.
func (b *Builder) sinkFor(compression rootfs.Compression, store io.Writer, keep bool) (mediaType string, sink io.Writer, finish func() error) {
	nothing := func() error { return nil }
	switch compression {
	case rootfs.Gzip:
		return distribution.MediaTypeLayer, store, nothing
	case rootfs.Zstd:
		return images.MediaTypeDockerSchema2LayerZstd, store, nothing
	}
	if keep {
		return images.MediaTypeDockerSchema2Layer, store, nothing
	}
	compressor := rootfs.NewCompressor(store, b.options.Limits.Archives.Budget)
	return distribution.MediaTypeLayer, compressor, compressor.Close
}

// describe stores config and manifest, and returns the descriptor of the manifest.
func (b *Builder) describe(ctx context.Context, m *material, config configDocument, stored []storedLayer) (ocispec.Descriptor, error) {
	if m.stored != nil {
		return b.keep(ctx, m.stored)
	}
	config.Rootfs = diffIDsOf(stored)
	layers := make([]ocispec.Descriptor, len(stored))
	for i, one := range stored {
		layers[i] = one.Descriptor
	}
	_, manifest, err := distribution.Source{Blobs: b.store}.Store(ctx, b.pin, config.PluginConfig, layers...)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	size, err := b.store.Size(ctx, manifest)
	return ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2Manifest, Digest: manifest, Size: size}, err
}

// keep stores the config and the manifest of a plugin as they are.
func (b *Builder) keep(ctx context.Context, plugin *imagefile.Image) (ocispec.Descriptor, error) {
	document, err := remote.Parse(plugin.Manifest, "")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := document.CheckPlugin(); err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, err := b.store.Put(ctx, b.pin, plugin.Config); err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest, err := b.store.Put(ctx, b.pin, plugin.Manifest)
	return ocispec.Descriptor{MediaType: document.MediaType, Digest: manifest, Size: int64(len(plugin.Manifest))}, err
}
