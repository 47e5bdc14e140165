// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// MediaTypeConfig is the media type of a plugin's config.
const MediaTypeConfig = "application/vnd.docker.plugin.v1+json"

// layerTypes are the media types of a plugin's layers. Their first bytes, not
// their type, decide about compression.
var layerTypes = []string{
	images.MediaTypeDockerSchema2Layer,
	images.MediaTypeDockerSchema2LayerGzip,
	images.MediaTypeDockerSchema2LayerZstd,
	ocispec.MediaTypeImageLayer,
	ocispec.MediaTypeImageLayerGzip,
	ocispec.MediaTypeImageLayerZstd,
}

// UnsupportedError refuses content that is not a supported plugin.
type UnsupportedError struct {
	What string // manifest, config or layer
	Type string // its media type
	Why  string
}

func (e *UnsupportedError) Error() string {
	text := fmt.Sprintf("%s of type %q is not supported", e.What, shorten(e.Type))
	if e.Why != "" {
		text += ": " + shorten(e.Why)
	}
	return plaintext.Quote(text)
}

func (e *UnsupportedError) whole() string { return e.Type + "\n" + e.Why }

// InvalidParameter marks the error's class.
func (*UnsupportedError) InvalidParameter() {}

// Document holds the used members of a manifest or an index.
type Document struct {
	SchemaVersion int
	MediaType     string
	ArtifactType  string
	Config        *ocispec.Descriptor
	Layers        []ocispec.Descriptor
	Manifests     []ocispec.Descriptor
}

// Parse reads a manifest or index that came as mediaType, which can be empty. It
// refuses documents that other programs could read as another type.
func Parse(data []byte, mediaType string) (Document, error) {
	var w wireDocument
	if err := json.Unmarshal(data, &w); err != nil {
		return Document{}, &UnsupportedError{What: "manifest", Type: mediaType, Why: err.Error()}
	}
	d := w.document()
	if d.SchemaVersion != 2 && d.SchemaVersion != 0 { // docker does not read it
		return Document{}, &UnsupportedError{What: "manifest", Type: cmp.Or(d.MediaType, mediaType), Why: fmt.Sprintf("schema version %d", d.SchemaVersion)}
	}
	isKnown := images.IsManifestType(mediaType) || images.IsIndexType(mediaType)
	switch {
	case d.MediaType == "" && isKnown:
		d.MediaType = mediaType
	case d.MediaType == "" && d.Manifests != nil:
		d.MediaType = ocispec.MediaTypeImageIndex
	case d.MediaType == "":
		d.MediaType = ocispec.MediaTypeImageManifest
	case isKnown && !isSameKind(d.MediaType, mediaType):
		return Document{}, &UnsupportedError{What: "manifest", Type: mediaType, Why: fmt.Sprintf("it calls itself %q", d.MediaType)}
	case !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType):
		return Document{}, &UnsupportedError{What: "manifest", Type: d.MediaType}
	}
	if d.Manifests != nil && (d.Config != nil || d.Layers != nil) {
		return Document{}, &UnsupportedError{What: "manifest", Type: d.MediaType, Why: "it is an index and a manifest"}
	}
	return d, nil
}

// isSameKind reports whether two media types both name a manifest, or both an index.
// Registries that convert manifests, or serve all by one fixed type, send docker's type
// with a document of OCI, or the reverse. Programs read both alike.
func isSameKind(a, b string) bool {
	return images.IsManifestType(a) && images.IsManifestType(b) || images.IsIndexType(a) && images.IsIndexType(b)
}

// IsIndex reports whether the document is an index.
func (d Document) IsIndex() bool { return images.IsIndexType(d.MediaType) }

// CheckPlugin refuses the manifest of anything but a plugin.
func (d Document) CheckPlugin() error {
	if d.Config == nil {
		return &UnsupportedError{What: "manifest", Type: d.MediaType, Why: "it has no config"}
	}
	if d.Config.MediaType != MediaTypeConfig && d.ArtifactType != MediaTypeConfig {
		why := "it is not a plugin"
		if strings.Contains(d.Config.MediaType, "image") {
			why = "it is an image, not a plugin"
		}
		return &UnsupportedError{What: "config", Type: d.Config.MediaType, Why: why}
	}
	if err := CheckDescriptor("config", *d.Config); err != nil {
		return err
	}
	for _, layer := range d.Layers {
		if !slices.Contains(layerTypes, layer.MediaType) {
			return &UnsupportedError{What: "layer", Type: layer.MediaType}
		}
		if err := CheckDescriptor("layer", layer); err != nil {
			return err
		}
	}
	return d.checkSizes()
}

// checkSizes refuses a manifest that describes one blob with several sizes.
func (d Document) checkSizes() error {
	sizes := map[digest.Digest]int64{d.Config.Digest: d.Config.Size}
	for _, layer := range d.Layers {
		size, known := sizes[layer.Digest]
		if known && size != layer.Size {
			why := fmt.Sprintf("blob %s is described with %d bytes and with %d", layer.Digest, size, layer.Size)
			return &UnsupportedError{What: "layer", Type: layer.MediaType, Why: why}
		}
		sizes[layer.Digest] = layer.Size
	}
	return nil
}

// CheckDescriptor refuses a descriptor that no blob can match.
func CheckDescriptor(what string, d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return &UnsupportedError{What: what, Type: d.MediaType, Why: err.Error()}
	}
	if d.Digest.Algorithm() != digest.Canonical {
		return &UnsupportedError{What: what, Type: d.MediaType, Why: fmt.Sprintf("its digest is %s", d.Digest.Algorithm())}
	}
	if d.Size < 0 {
		return &UnsupportedError{What: what, Type: d.MediaType, Why: fmt.Sprintf("its size is %d", d.Size)}
	}
	return nil
}
