package plugin

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/privilege"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// transfer is what a verb that talks to a registry was asked for.
type transfer struct {
	ref     reference.Named
	headers http.Header
	auth    *registry.AuthConfig
	pin     *blobs.Pin
	out     progress.Output
}

func (t transfer) request(ctx context.Context) remote.Request {
	headers := t.headers.Clone()
	if headers == nil {
		headers = http.Header{}
	}
	if headers.Get("User-Agent") == "" {
		headers.Set("User-Agent", dockerversion.DockerUserAgent(ctx))
	}
	return remote.Request{Reference: t.ref, Auth: t.auth, Headers: headers, Pin: t.pin, Progress: t.out}
}

// found is a plugin in a registry, whose config was read and is sound.
type found struct {
	*remote.Plugin
	ref    reference.Named
	config types.PluginConfig
	limits rootfs.Limits
}

// find asks a registry for a plugin, and for no layer of it. The caller
// closes what it returns.
func (pm *Manager) find(ctx context.Context, t transfer) (*found, error) {
	if pm.config.RegistryService == nil {
		return nil, &UnsupportedError{Op: "transfer", Reason: "this manager has no RegistryService"}
	}
	p, err := pm.remote.Resolve(ctx, t.request(ctx))
	if err != nil {
		return nil, asLimit(err)
	}
	config, err := v2.ParseConfig(p.ConfigBytes)
	if err == nil {
		err = v2.ValidateConfig(config)
	}
	if err == nil {
		err = checkDiffIDCount(config, len(p.Layers))
	}
	limits := pm.archiveLimits()
	if err == nil {
		err = asLimit(limits.CheckStored(sizes(p.Layers)))
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return &found{Plugin: p, ref: t.ref, config: config, limits: limits}, nil
}

func sizes(layers []ocispec.Descriptor) []int64 {
	all := make([]int64, len(layers))
	for i, layer := range layers {
		all[i] = layer.Size
	}
	return all
}

// unpack brings the layers and unpacks them into the stage as they arrive.
func (f *found) unpack(ctx context.Context, stage *layout.Stage, out progress.Output) error {
	unpacker, err := rootfs.NewUnpacker(stage.Rootfs(), f.limits)
	if err != nil {
		return err
	}
	defer unpacker.Close()
	unpacker.CloseFilesBy(stage.FileCloser())
	err = f.Fetch(ctx, func(ctx context.Context, layers []*remote.Layer) error {
		sources := make([]rootfs.Source, len(layers))
		for i, layer := range layers {
			sources[i] = layer.Open
		}
		err := unpacker.ApplyAll(ctx, sources, func(i int, applied rootfs.Layer) error {
			progress.Update(out, ids.Short(layers[i].Digest.String()), "Complete")
			return checkDiffID(f.config, i, applied.DiffID, layers[i].Digest)
		})
		if err != nil {
			return fmt.Errorf("pull %s: %w", f.ref, err)
		}
		return nil
	})
	return asLimit(err)
}

// blobsums are the digests of the layers, lowest first.
func (f *found) blobsums() []digest.Digest {
	sums := make([]digest.Digest, len(f.Layers))
	for i, layer := range f.Layers {
		sums[i] = layer.Digest
	}
	return sums
}

// diffIDs are what the config says of the layers; old configs say nothing.
func diffIDs(config types.PluginConfig) []string {
	if config.Rootfs == nil {
		return nil
	}
	return config.Rootfs.DiffIds
}

func checkDiffIDCount(config types.PluginConfig, layers int) error {
	if ids := diffIDs(config); len(ids) > 0 && len(ids) != layers {
		return &InvalidError{What: "plugin", Err: fmt.Errorf("its config tells of %d layers, its manifest of %d", len(ids), layers)}
	}
	return nil
}

// checkDiffID compares a layer with what the config says of it: the digest of
// the uncompressed archive or, from old versions of docker, that of the
// compressed one.
func checkDiffID(config types.PluginConfig, i int, plain, compressed digest.Digest) error {
	ids := diffIDs(config)
	if len(ids) == 0 || slices.Contains([]string{plain.String(), compressed.String()}, ids[i]) {
		return nil
	}
	return &InvalidError{What: "plugin", Err: fmt.Errorf("layer %s unpacks to %s, its config says %s", compressed, plain, ids[i])}
}

// Privileges asks a registry for a plugin's config, and returns what it asks
// of the host, in the form that [Manager.Pull] wants it granted. A nil
// authConfig and nil headers are fine; neither is changed.
//
// Errors: of the registry, of class NotFound, Unauthorized, Forbidden,
// Unavailable or System, [RedirectError] among them, naming host and reference;
// of class InvalidParameter for what is not a plugin, [LimitError] and
// [v2.ErrInvalidConfig] among them.
func (pm *Manager) Privileges(ctx context.Context, ref reference.Named, metaHeader http.Header, authConfig *registry.AuthConfig) (_ types.PluginPrivileges, retErr error) {
	defer plain(&retErr)
	if err := pm.writable(); err != nil {
		return nil, err
	}
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	leave, err := pm.transfers.take(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	pin := pm.blobs.NewPin()
	defer pm.requestGC()
	defer pin.Release()
	f, err := pm.find(ctx, transfer{ref: ref, headers: metaHeader, auth: authConfig, pin: pin, out: progress.DiscardOutput()})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return privilege.Of(f.config), nil
}
