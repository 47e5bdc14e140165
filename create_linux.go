// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/imagefile"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// CreateFromContext installs a plugin from a build context: a tar stream of
// config.json and of the directory rootfs, plain or compressed by gzip or
// zstd. The stream is read once, and closed. The plugin is named
// options.RepoName, with the tag latest if it has none, and is disabled. The
// warnings of [v2.ConfigWarnings] go to the daemon's log.
//
// While [Limits].Creates other creates are in progress it waits, without reading
// tarCtx. When ctx ends or Shutdown begins it returns even if a read of tarCtx
// hangs: tarCtx is then closed while that read is in progress. It also gives up a
// tarCtx that sends nothing for a minute, because the create occupies a place.
//
// Errors: [ExistsError]; [InvalidError] for the name; [LimitError],
// [ArchiveEntryError], [ArchiveError], [BuildContextError], [SilentClientError] and
// [v2.InvalidConfigError], all of class InvalidParameter, for the build context;
// class System for the host; and the errors of ctx and tarCtx. On error nothing
// is left.
func (pm *Manager) CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) (retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	buildContext := bounded.NewReader(ctx, tarCtx, clientPatience)
	defer buildContext.Close()
	return pm.create(ctx, options, func(in *install) (*v2.Plugin, error) { return in.build(ctx, buildContext) })
}

// CreateFromLayout installs a plugin from an OCI image layout, as plugind build writes
// it: a directory, or an archive that is plain or compressed by gzip or zstd. Layers,
// config and manifest stay as they are, so that a push sends the same plugin. Of several
// platforms it installs that of [ManagerConfig].Platform. Name, places and warnings
// are those of [Manager.CreateFromContext].
//
// Errors: [ExistsError]; [InvalidError] for the name, or a layout that is damaged;
// [MediaTypeError] for a layout of something else; [PlatformError]; [LimitError],
// [ArchiveEntryError], [ArchiveError] and [v2.InvalidConfigError]; class System for the
// host; and those of ctx and of the file system at path. On error nothing is left.
func (pm *Manager) CreateFromLayout(ctx context.Context, path string, options *types.PluginCreateOptions) (retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	return pm.create(ctx, options, func(in *install) (*v2.Plugin, error) { return in.load(ctx, path) })
}

// create installs the plugin that build makes.
func (pm *Manager) create(ctx context.Context, options *types.PluginCreateOptions, build func(*install) (*v2.Plugin, error)) error {
	if options == nil {
		options = &types.PluginCreateOptions{}
	}
	name, err := parseNewName(options.RepoName)
	if err != nil {
		return err
	}
	leave, err := pm.takeCreate(ctx, name)
	if err != nil {
		return err
	}
	defer leave()
	in, err := pm.beginInstall(ctx, name)
	if err != nil {
		return err
	}
	defer in.end()
	p, err := build(in)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	out := progress.DiscardOutput()
	pm.warnOfConfig(name, p.PluginObj.Config, out)
	return in.commit(ctx, p, out, events.ActionCreate)
}

// takeCreate waits for a place among the creates, which the caller leaves.
func (pm *Manager) takeCreate(ctx context.Context, name string) (leave func(), err error) {
	if err := pm.writable(); err != nil {
		return nil, err
	}
	return pm.creates.Take(ctx, func() {
		pm.logger().WithField("name", name).Info("create waits for other creates to end, see Limits.Creates")
	})
}

// clientPatience bounds the silence of a create's client. The one of engineapi is
// the same.
const clientPatience = time.Minute

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
		return nil, err
	}
	config, err := v2.ParseConfig(parts.Config)
	if err != nil {
		return nil, err
	}
	if err := v2.ValidateConfig(config); err != nil {
		return nil, err
	}
	return in.complete(ctx, config, parts.DiffID, layer)
}

// complete makes the layer a blob, and describes the plugin whose only layer it is.
func (in *install) complete(ctx context.Context, config types.PluginConfig, diffID digest.Digest, layer *blobs.Ingest) (*v2.Plugin, error) {
	config.DockerVersion = dockerversion.Version //nolint:staticcheck // docker 28 still sets it
	config.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{diffID.String()}}
	blob, err := layer.Commit(ctx)
	if err != nil {
		return nil, in.storageError(err)
	}
	return in.describe(ctx, config, ocispec.Descriptor{MediaType: distribution.MediaTypeLayer, Digest: blob.Digest, Size: blob.Size})
}

// describe stores config and manifest, and makes the record.
func (in *install) describe(ctx context.Context, config types.PluginConfig, layer ocispec.Descriptor) (*v2.Plugin, error) {
	configDigest, manifestDigest, err := in.manager.content().Store(ctx, in.pin, config, layer)
	if err != nil {
		return nil, in.storageError(err)
	}
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: in.name, ID: in.id, PluginReference: in.name, Config: config},
		Config:    configDigest,
		Manifest:  manifestDigest,
		Blobsums:  []digest.Digest{layer.Digest},
	}
	p.InitEmptySettings()
	return p, nil
}

// load makes the plugin's rootfs in the stage of the layers in a layout, and copies its
// blobs.
func (in *install) load(ctx context.Context, path string) (*v2.Plugin, error) {
	file, local, err := in.manager.openLayout(ctx, path, in.stage, in.pin)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := local.Unpack(ctx, in.stage.Rootfs(), in.stage.FileCloser()); err != nil {
		return nil, err
	}
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: in.name, ID: in.id, PluginReference: in.name, Config: local.PluginConfig},
		Config:    local.Config,
		Manifest:  local.Manifest,
		Blobsums:  local.Blobsums,
	}
	p.InitEmptySettings()
	return p, nil
}

// openLayout opens the plugin for this host in a layout, and stores its config and
// manifest. A compressed archive is inflated in the stage. The caller closes the file after
// the plugin was unpacked.
func (pm *Manager) openLayout(ctx context.Context, path string, stage *layout.Stage, pin *blobs.Pin) (*imagefile.File, *distribution.Local, error) {
	limits := imagefile.Limits{Archives: pm.archiveLimits(), ManifestBytes: pm.config.Limits.ManifestBytes}
	file, err := imagefile.Open(ctx, path, filepath.Dir(stage.Rootfs()), limits)
	if err != nil {
		return nil, nil, err
	}
	platform := pm.config.Platform
	if platform.OS == "" {
		platform = platforms.DefaultSpec()
	}
	image, err := file.Image(&platform)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	local, err := pm.content().Open(ctx, pin, image)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, local, nil
}
