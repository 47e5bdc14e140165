// SPDX-License-Identifier: Apache-2.0

package imagefile

import (
	"reflect"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/remote"
)

// maxIndexes bounds how deep indexes are nested. buildx nests two.
const maxIndexes = 4

// ofLayout returns the image of an OCI image layout.
func (d documents) ofLayout(want *ocispec.Platform) (*Image, error) {
	var version ocispec.ImageLayout
	if err := d.decode(ocispec.ImageLayoutFile, maxVersionBytes, &version); err != nil {
		return nil, err
	}
	if version.Version != ocispec.ImageLayoutVersion {
		return nil, Invalidf("its layout has version %q, not %s", version.Version, ocispec.ImageLayoutVersion)
	}
	data, err := d.read(ocispec.ImageIndexFile, d.limits.maxManifestBytes())
	if err != nil {
		return nil, err
	}
	index, err := remote.Parse(data, ocispec.MediaTypeImageIndex)
	if err != nil {
		return nil, err
	}
	return d.resolve(index, want)
}

// maxVersionBytes bounds the file oci-layout.
const maxVersionBytes = 4 << 10

// resolve follows indexes to a manifest.
func (d documents) resolve(index remote.Document, want *ocispec.Platform) (*Image, error) {
	for range maxIndexes {
		target, err := choose(index.Manifests, want)
		if err != nil {
			return nil, err
		}
		data, err := d.blob("manifest", target, d.limits.maxManifestBytes())
		if err != nil {
			return nil, err
		}
		document, err := remote.Parse(data, target.MediaType)
		if err != nil {
			return nil, err
		}
		if !document.IsIndex() {
			image, err := d.ofManifest(document, data)
			if err != nil {
				return nil, err
			}
			image.Platform = target.Platform
			return image, nil
		}
		index = document
	}
	return nil, Invalidf("more than %d indexes are nested", maxIndexes)
}

// choose returns the manifest of an index for the platform. Docker save lists an image
// once for each of its names.
func choose(manifests []ocispec.Descriptor, want *ocispec.Platform) (ocispec.Descriptor, error) {
	var different []ocispec.Descriptor
	isKnown := func(d ocispec.Descriptor) bool {
		return slices.ContainsFunc(different, func(other ocispec.Descriptor) bool {
			return other.Digest == d.Digest && reflect.DeepEqual(other.Platform, d.Platform)
		})
	}
	hasPlatform := false
	for _, one := range manifests {
		if isKnown(one) {
			continue
		}
		different = append(different, one)
		hasPlatform = hasPlatform || one.Platform != nil
	}
	switch {
	case len(different) == 0:
		return ocispec.Descriptor{}, Invalidf("its index is empty")
	case len(different) == 1 && (want == nil || different[0].Platform == nil):
		return different[0], nil
	case !hasPlatform:
		return ocispec.Descriptor{}, Invalidf("it has %d images: save one image alone", len(different))
	}
	platform := platforms.DefaultSpec()
	if want != nil {
		platform = *want
	}
	return remote.Choose(different, platform)
}

// ofManifest returns the image of a manifest.
func (d documents) ofManifest(manifest remote.Document, data []byte) (*Image, error) {
	if manifest.Config == nil {
		return nil, Invalidf("its manifest has no config")
	}
	config, err := d.blob("config", *manifest.Config, d.limits.MaxConfigBytes())
	if err != nil {
		return nil, err
	}
	image := &Image{Config: config, ConfigType: manifest.Config.MediaType, Manifest: data}
	for _, layer := range manifest.Layers {
		if err := remote.CheckDescriptor("layer", layer); err != nil {
			return nil, err
		}
		image.Layers = append(image.Layers, Layer{Descriptor: layer, name: blobName(layer.Digest), files: d.files})
	}
	return image, nil
}

// blob returns the verified content of a small blob.
func (d documents) blob(what string, descriptor ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := remote.CheckDescriptor(what, descriptor); err != nil {
		return nil, err
	}
	name := blobName(descriptor.Digest)
	data, err := d.read(name, limit)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != descriptor.Digest {
		return nil, Invalidf("%s does not match its digest: its content has %s", name, got)
	}
	return data, nil
}

// blobName returns the name of a blob with a valid digest.
func blobName(dgst digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + dgst.Algorithm().String() + "/" + dgst.Encoded()
}
