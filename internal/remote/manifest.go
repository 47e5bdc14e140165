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

// MediaTypeConfig is what the config of a plugin is known by.
const MediaTypeConfig = "application/vnd.docker.plugin.v1+json"

// layerTypes are the archives that a plugin's layers may be. Their compression
// is found out from their bytes.
var layerTypes = []string{
	images.MediaTypeDockerSchema2Layer,
	images.MediaTypeDockerSchema2LayerGzip,
	images.MediaTypeDockerSchema2LayerZstd,
	ocispec.MediaTypeImageLayer,
	ocispec.MediaTypeImageLayerGzip,
	ocispec.MediaTypeImageLayerZstd,
}

// UnsupportedError refuses what is not a plugin as we know them.
type UnsupportedError struct {
	What string // manifest, config or layer
	Type string // the media type it has
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

// document is a manifest or an index, as far as it matters here.
type document struct {
	SchemaVersion int
	MediaType     string
	ArtifactType  string
	Config        *ocispec.Descriptor
	Layers        []ocispec.Descriptor
	Manifests     []ocispec.Descriptor
}

// parse reads a manifest or index that is named mediaType by who gave it.
// Documents that could be taken for something else by somebody else are
// refused.
func parse(data []byte, mediaType string) (document, error) {
	var w wireDocument
	if err := json.Unmarshal(data, &w); err != nil {
		return document{}, &UnsupportedError{What: "manifest", Type: mediaType, Why: err.Error()}
	}
	d := w.document()
	if d.SchemaVersion != 2 {
		return document{}, &UnsupportedError{What: "manifest", Type: cmp.Or(d.MediaType, mediaType), Why: fmt.Sprintf("schema version %d", d.SchemaVersion)}
	}
	isKnown := images.IsManifestType(mediaType) || images.IsIndexType(mediaType)
	switch {
	case d.MediaType == "" && isKnown:
		d.MediaType = mediaType
	case d.MediaType == "" && d.Manifests != nil:
		d.MediaType = ocispec.MediaTypeImageIndex
	case d.MediaType == "":
		d.MediaType = ocispec.MediaTypeImageManifest
	case isKnown && d.MediaType != mediaType:
		return document{}, &UnsupportedError{What: "manifest", Type: mediaType, Why: fmt.Sprintf("it calls itself %q", d.MediaType)}
	case !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType):
		return document{}, &UnsupportedError{What: "manifest", Type: d.MediaType}
	}
	if d.Manifests != nil && (d.Config != nil || d.Layers != nil) {
		return document{}, &UnsupportedError{What: "manifest", Type: d.MediaType, Why: "it is an index and a manifest"}
	}
	return d, nil
}

func (d document) isIndex() bool { return images.IsIndexType(d.MediaType) }

// checkPlugin refuses a manifest that is not one of a plugin.
func (d document) checkPlugin() error {
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
	if err := checkDescriptor("config", *d.Config); err != nil {
		return err
	}
	for _, layer := range d.Layers {
		if !slices.Contains(layerTypes, layer.MediaType) {
			return &UnsupportedError{What: "layer", Type: layer.MediaType}
		}
		if err := checkDescriptor("layer", layer); err != nil {
			return err
		}
	}
	return d.checkSizes()
}

// checkSizes refuses a manifest that describes one blob with several sizes, of
// which only one can be right.
func (d document) checkSizes() error {
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

func checkDescriptor(what string, d ocispec.Descriptor) error {
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
