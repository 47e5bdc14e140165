package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Push sends a plugin, enabled or not, to the registry and repository that its
// name tells. The manifest goes as it was pulled or made, so that its digest
// stays; blobs that the registry has are not sent. Progress goes to outStream,
// which may be nil, and ends with tag, digest and size.
//
// Errors: those of every reference; of the registry as with
// [Manager.Privileges]; class InvalidParameter for a name that is not one of a
// repository; and [MissingBlobError], before anything is sent, for a plugin
// whose content is not here whole.
func (pm *Manager) Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) (retErr error) {
	defer plain(&retErr)
	if err := pm.writable(); err != nil {
		return err
	}
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	out := progressOn(outStream)
	defer out.end(ctx)
	live, err := pm.Get(name)
	if err != nil {
		return err
	}
	if pm.config.RegistryService == nil {
		return &UnsupportedError{Op: "transfer", Reason: "this manager has no RegistryService"}
	}
	leave, err := pm.transfers.take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	p := live.Clone()
	ref, err := reference.ParseNormalizedNamed(p.Name())
	if err != nil {
		return &InvalidError{What: fmt.Sprintf("plugin name %q", p.Name()), Err: err}
	}
	pin := pm.blobs.NewPin()
	defer pin.Release()
	manifest, err := pm.manifestOf(ctx, pin, p)
	if err != nil {
		return err
	}
	t := transfer{ref: ref, headers: metaHeader, auth: authConfig, pin: pin, out: out}
	progress.Messagef(t.out, "", "The push refers to repository [%s]", ref.Name())
	if _, err := pm.remote.Push(ctx, t.request(ctx), manifest, sources(p)...); err != nil {
		return err
	}
	pm.config.LogPluginEvent(p.GetID(), p.Name(), events.ActionPush)
	return nil
}

// sources is where the plugin came from: its layers may be mounted from there.
func sources(p *v2.Plugin) []reference.Named {
	origin, err := reference.ParseNormalizedNamed(p.PluginObj.PluginReference)
	if err != nil {
		return nil
	}
	return []reference.Named{origin}
}

// manifestOf returns the plugin's manifest, held by pin. Docker's own
// collection deletes manifests, so that of a plugin that docker kept is made
// again if the record names all that it needs.
func (pm *Manager) manifestOf(ctx context.Context, pin *blobs.Pin, p *v2.Plugin) (digest.Digest, error) {
	pin.Add(p.Manifest, p.Config)
	pin.Add(p.Blobsums...)
	if p.Manifest.Validate() == nil {
		_, err := pm.blobs.Size(ctx, p.Manifest)
		if !cerrdefs.IsNotFound(err) {
			return p.Manifest, err
		}
	}
	if err := pm.checkComplete(ctx, p); err != nil {
		return "", err
	}
	return pm.makeManifest(ctx, pin, p)
}

// checkComplete refuses a record that does not name the content of its plugin
// whole. Docker records no layers of what it pulled, and the config and layers
// of the old version for what it upgraded.
func (pm *Manager) checkComplete(ctx context.Context, p *v2.Plugin) error {
	data, err := pm.blobs.ReadAll(ctx, p.Config, mostConfigBytes)
	if err != nil {
		return missing("config", p.Config, err)
	}
	config, err := v2.ParseConfig(data)
	if err != nil {
		return err
	}
	ids := diffIDs(config)
	countDiffers := len(ids) > 0 && len(ids) != len(p.Blobsums)
	if len(p.Blobsums) == 0 || countDiffers || !slices.Equal(ids, diffIDs(p.PluginObj.Config)) {
		return &MissingBlobError{What: "manifest", Digest: p.Manifest}
	}
	return nil
}

func missing(what string, dgst digest.Digest, err error) error {
	if cerrdefs.IsNotFound(err) || dgst.Validate() != nil {
		return &MissingBlobError{What: what, Digest: dgst}
	}
	return err
}

// makeManifest makes a manifest of what the record names.
func (pm *Manager) makeManifest(ctx context.Context, pin *blobs.Pin, p *v2.Plugin) (_ digest.Digest, err error) {
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaTypeManifest}
	if manifest.Config, err = pm.describeBlob(ctx, mediaTypeConfig, p.Config); err != nil {
		return "", err
	}
	for _, layer := range p.Blobsums {
		mediaType, err := pm.layerType(ctx, layer)
		if err != nil {
			return "", missing("layer", layer, err)
		}
		described, err := pm.describeBlob(ctx, mediaType, layer)
		if err != nil {
			return "", err
		}
		manifest.Layers = append(manifest.Layers, described)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	return pm.blobs.Put(ctx, pin, data)
}

func (pm *Manager) describeBlob(ctx context.Context, mediaType string, dgst digest.Digest) (ocispec.Descriptor, error) {
	size, err := pm.blobs.Size(ctx, dgst)
	if err != nil {
		return ocispec.Descriptor{}, missing("blob", dgst, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: size}, nil
}

// layerType finds out from its bytes what a layer has to be called.
func (pm *Manager) layerType(ctx context.Context, layer digest.Digest) (string, error) {
	reader, err := pm.blobs.Reader(ctx, layer)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	plain, err := rootfs.Decompress(ctx, reader, pm.archiveLimits())
	if err != nil {
		return "", err
	}
	defer plain.Close()
	switch plain.Compression {
	case rootfs.Gzip:
		return mediaTypeLayer, nil
	case rootfs.Zstd:
		return images.MediaTypeDockerSchema2LayerZstd, nil
	default:
		return images.MediaTypeDockerSchema2Layer, nil
	}
}
