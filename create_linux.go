package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// The media types of a plugin, as docker writes them.
const (
	mediaTypeManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeConfig   = "application/vnd.docker.plugin.v1+json"
	mediaTypeLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// CreateFromContext installs a plugin from a build context: a tar stream of
// config.json and of the directory rootfs, plain or compressed by gzip or
// zstd. It is read once, and closed. The plugin is named options.RepoName, with
// the tag latest if it has none, and is disabled. What of its config is ignored,
// see [v2.ConfigWarnings], is said in the daemon's log.
//
// It waits while [Limits].Creates others are in progress, and reads nothing of
// tarCtx meanwhile. It returns when ctx ends, or the manager, although tarCtx
// neither answers nor ends: then a read of it may still be in progress, and
// tarCtx is closed meanwhile.
//
// Errors: [ExistsError]; [InvalidError] for the name; [LimitError],
// [ArchiveEntryError], [ArchiveError], [BuildContextError] and
// [v2.ErrInvalidConfig], all of class InvalidParameter, for what is wrong with
// the context; class System for what is wrong with the host; and the errors of
// ctx and tarCtx. After any, nothing is left.
func (pm *Manager) CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) (retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	buildContext := newInterruptible(ctx, tarCtx)
	defer buildContext.Close()
	if options == nil {
		options = &types.PluginCreateOptions{}
	}
	name, err := createName(options.RepoName)
	if err != nil {
		return err
	}
	if err := pm.writable(); err != nil {
		return err
	}
	leave, err := pm.creates.take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	in, err := pm.beginInstall(name)
	if err != nil {
		return err
	}
	defer in.end()
	p, err := in.build(ctx, buildContext)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	pm.warn(name, p.PluginObj.Config, progress.DiscardOutput())
	return in.commit(ctx, p, events.ActionCreate)
}

// createName is the name of a new plugin, as people see it.
func createName(repo string) (string, error) {
	named, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return "", &InvalidError{What: fmt.Sprintf("plugin name %q", repo), Err: err}
	}
	if _, ok := named.(reference.Canonical); ok {
		return "", &InvalidError{What: fmt.Sprintf("plugin name %q", repo), Err: errors.New("a new plugin has no digest yet: give a tag or nothing")}
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), nil
}

// build makes the plugin's rootfs in the stage, and its blobs.
func (in *install) build(ctx context.Context, buildContext io.Reader) (*v2.Plugin, error) {
	layer, err := in.manager.blobs.Ingest(ctx, in.pin)
	if err != nil {
		return nil, in.storageError(err)
	}
	defer layer.Abort()
	parts, err := rootfs.Split(ctx, buildContext, rootfs.SplitOptions{
		Directory: in.stage.Rootfs(),
		CloseFile: in.stage.FileCloser(),
		Layer:     layer,
		Limits:    in.manager.archiveLimits(),
	})
	if err != nil {
		return nil, asLimit(err)
	}
	config, err := v2.ParseConfig(parts.Config)
	if err != nil {
		return nil, err
	}
	if err := v2.ValidateConfig(config); err != nil {
		return nil, err
	}
	config.DockerVersion = dockerversion.Version //nolint:staticcheck // docker 28 still tells it
	config.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{parts.DiffID.String()}}
	layerBlob, err := layer.Commit(ctx)
	if err != nil {
		return nil, in.storageError(err)
	}
	return in.describe(ctx, config, ocispec.Descriptor{MediaType: mediaTypeLayer, Digest: layerBlob.Digest, Size: layerBlob.Size})
}

// describe stores config and manifest, and makes the record.
func (in *install) describe(ctx context.Context, config types.PluginConfig, layer ocispec.Descriptor) (*v2.Plugin, error) {
	configBlob, err := in.put(ctx, mediaTypeConfig, config)
	if err != nil {
		return nil, err
	}
	manifestBlob, err := in.put(ctx, mediaTypeManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: mediaTypeManifest,
		Config:    configBlob,
		Layers:    []ocispec.Descriptor{layer},
	})
	if err != nil {
		return nil, err
	}
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: in.name, ID: in.id, PluginReference: in.name, Config: config},
		Config:    configBlob.Digest,
		Manifest:  manifestBlob.Digest,
		Blobsums:  []digest.Digest{layer.Digest},
	}
	p.InitEmptySettings()
	return p, nil
}

func (in *install) put(ctx context.Context, mediaType string, document any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return ocispec.Descriptor{}, in.storageError(err)
	}
	dgst, err := in.manager.blobs.Put(ctx, in.pin, data)
	if err != nil {
		return ocispec.Descriptor{}, in.storageError(err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: dgst, Size: int64(len(data))}, nil
}
