// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"context"
	"fmt"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/dockerversion"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/ids"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Transfer holds the arguments of a pull, push or upgrade.
type Transfer struct {
	Reference reference.Named
	Headers   http.Header
	Auth      *registry.AuthConfig
	Pin       *blobs.Pin // holds what is fetched or sent
	Progress  progress.Output
}

func (t Transfer) request(ctx context.Context) remote.Request {
	headers := t.Headers.Clone()
	if headers == nil {
		headers = http.Header{}
	}
	if headers.Get("User-Agent") == "" {
		headers.Set("User-Agent", dockerversion.DockerUserAgent(ctx))
	}
	return remote.Request{Reference: t.Reference, Auth: t.Auth, Headers: headers, Pin: t.Pin, Progress: t.Progress}
}

// Plugin is a plugin in a registry, with a valid config.
type Plugin struct {
	*remote.Plugin
	PluginConfig types.PluginConfig
	transfer     Transfer
	limits       rootfs.Limits
}

// Find looks up a plugin in a registry, without its layers. The caller closes the
// result. Errors: those of [remote.Client.Resolve], [rootfs.LimitError],
// [v2.InvalidConfigError] and [MismatchError].
func (s Source) Find(ctx context.Context, t Transfer) (*Plugin, error) {
	p, err := s.Remote.Resolve(ctx, t.request(ctx))
	if err != nil {
		return nil, err
	}
	found := &Plugin{Plugin: p, transfer: t, limits: s.Limits}
	if err := found.readConfig(); err != nil {
		p.Close()
		return nil, err
	}
	return found, nil
}

func (p *Plugin) readConfig() (err error) {
	if p.PluginConfig, err = v2.ParseConfig(p.ConfigBytes); err != nil {
		return err
	}
	if err := v2.ValidateConfig(p.PluginConfig); err != nil {
		return err
	}
	if err := checkDiffIDCount(p.PluginConfig, len(p.Layers)); err != nil {
		return err
	}
	return p.limits.CheckStored(sizes(p.Layers))
}

func sizes(layers []ocispec.Descriptor) []int64 {
	all := make([]int64, len(layers))
	for i, layer := range layers {
		all[i] = layer.Size
	}
	return all
}

// Announce writes the first progress messages, like those of an image pull.
func (p *Plugin) Announce() {
	t := p.transfer
	version := reference.FamiliarString(t.Reference)
	if tagged, ok := t.Reference.(reference.Tagged); ok {
		version = tagged.Tag()
	}
	progress.Message(t.Progress, version, "Pulling from "+reference.FamiliarName(t.Reference))
	progress.Message(t.Progress, "", "Digest: "+p.Digest.String())
}

// Unpack fetches the layers and unpacks them into directory as they arrive.
// Files are closed by closeFile; see [rootfs.Unpacker.CloseFilesBy].
func (p *Plugin) Unpack(ctx context.Context, directory string, closeFile func(fd int)) error {
	return p.Fetch(ctx, func(ctx context.Context, layers []*remote.Layer) error {
		sources := make([]rootfs.Source, len(layers))
		for i, layer := range layers {
			sources[i] = layer.Open
		}
		err := unpack(ctx, directory, closeFile, p.limits, sources, func(i int, applied rootfs.Layer) error {
			progress.Update(p.transfer.Progress, ids.Short(layers[i].Digest.String()), "Complete")
			return checkDiffID(p.PluginConfig, i, applied.DiffID, layers[i].Digest)
		})
		if err != nil {
			return fmt.Errorf("pull %s: %w", p.transfer.Reference, err)
		}
		return nil
	})
}

// Blobsums returns the digests of the layers, lowest first.
func (p *Plugin) Blobsums() []digest.Digest {
	sums := make([]digest.Digest, len(p.Layers))
	for i, layer := range p.Layers {
		sums[i] = layer.Digest
	}
	return sums
}
