package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
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
// repository, and NotFound for a blob that is missing here.
func (pm *Manager) Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error {
	if err := pm.writable(); err != nil {
		return err
	}
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	live, err := pm.Get(name)
	if err != nil {
		return err
	}
	if pm.config.RegistryService == nil {
		return &UnsupportedError{Op: "transfer", Reason: "this manager has no RegistryService"}
	}
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
	t := transfer{ref: ref, headers: metaHeader, auth: authConfig, pin: pin, out: progressOn(outStream)}
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

// manifestOf returns the plugin's manifest, held by pin. docker's own
// collection deletes manifests, so one of a plugin that docker kept may have
// to be made again.
func (pm *Manager) manifestOf(ctx context.Context, pin *blobs.Pin, p *v2.Plugin) (digest.Digest, error) {
	pin.Add(p.Manifest, p.Config)
	pin.Add(p.Blobsums...)
	_, err := pm.blobs.Size(ctx, p.Manifest)
	if err == nil || !errdefs.IsNotFound(err) && p.Manifest.Validate() == nil {
		return p.Manifest, err
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaTypeManifest}
	if manifest.Config, err = pm.describeBlob(ctx, mediaTypeConfig, p.Config); err != nil {
		return "", err
	}
	for _, layer := range p.Blobsums {
		mediaType, err := pm.layerType(ctx, layer)
		if err != nil {
			return "", err
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
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: size}, err
}

// layerType finds out from its bytes what a layer has to be called.
func (pm *Manager) layerType(ctx context.Context, layer digest.Digest) (string, error) {
	reader, err := pm.blobs.Reader(ctx, layer)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	plain, err := rootfs.Decompress(reader, rootfs.Limits{})
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
