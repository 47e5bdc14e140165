// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// maxIndexDepth bounds indexes that refer to indexes.
const maxIndexDepth = 3

// Plugin is a plugin in a registry. Its manifest and config are in the store; its
// layers may not be. The caller must call Close.
type Plugin struct {
	// Digest is the digest that the reference resolved to: that of the manifest,
	// or of the index that lists it.
	Digest digest.Digest
	// Manifest is the plugin's manifest, for one platform.
	Manifest ocispec.Descriptor
	// ConfigBytes is the verified content of Config.
	Config      ocispec.Descriptor
	ConfigBytes []byte
	// Layers are the layers, lowest first.
	Layers []ocispec.Descriptor

	session *session
}

// Resolve looks up a plugin and fetches its manifest and config, unless they are
// in the store. It requests no layer. Errors are of class NotFound, Unauthorized,
// Forbidden or Unavailable by the registry's answer, InvalidParameter if the
// content is not a plugin or is too large, DataLoss if it has a wrong digest, or
// the cause of ctx.
func (c *Client) Resolve(ctx context.Context, request Request) (*Plugin, error) {
	request.Reference = reference.TagNameOnly(request.Reference)
	s, err := c.open(ctx, request, "pull")
	if err != nil {
		return nil, s.explain(ctx, "pull", err)
	}
	p, err := s.resolve(ctx)
	if err != nil {
		err = s.explain(ctx, "pull", err)
		s.close()
		return nil, err
	}
	return p, nil
}

// Close closes the plugin's connections. Fetched content stays in the store.
func (p *Plugin) Close() { p.session.close() }

func (s *session) resolve(ctx context.Context) (*Plugin, error) {
	target, err := s.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	p := &Plugin{Digest: target.Digest, session: s}
	for range maxIndexDepth {
		data, err := s.load(ctx, s.client.options.manifest(), asManifest(target))
		if err != nil {
			return nil, err
		}
		d, err := Parse(data, target.MediaType)
		if err != nil {
			return nil, err
		}
		if d.IsIndex() {
			if target, err = Choose(d.Manifests, s.client.options.Platform); err != nil {
				return nil, err
			}
			continue
		}
		if err := d.CheckPlugin(); err != nil {
			return nil, err
		}
		p.Manifest = ocispec.Descriptor{MediaType: d.MediaType, Digest: target.Digest, Size: int64(len(data))}
		p.Config = bare(*d.Config)
		for _, layer := range d.Layers {
			p.Layers = append(p.Layers, bare(layer))
		}
		p.ConfigBytes, err = s.load(ctx, s.client.options.config(), p.Config)
		return p, err
	}
	return nil, &UnsupportedError{What: "index", Type: target.MediaType, Why: "it is nested too deeply"}
}

// bare returns the used fields of a descriptor. Its URLs are not used, so that no
// other server gets a request.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// asManifest gives a descriptor the type of a manifest, so that it is fetched as
// one even if the registry sends another type. Parse checks the document.
func asManifest(d ocispec.Descriptor) ocispec.Descriptor {
	d = bare(d)
	if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
		d.MediaType = images.MediaTypeDockerSchema2Manifest
	}
	return d
}

// small is a kind of document that is loaded into memory, with its limit.
type small struct {
	what  string
	limit string // the field of Options
	max   int64
}

func (o Options) manifest() small { return small{"manifest", "ManifestBytes", o.ManifestBytes} }
func (o Options) config() small   { return small{"config", "ConfigBytes", o.ConfigBytes} }

// load returns a small blob, from the store or from the registry.
func (s *session) load(ctx context.Context, small small, d ocispec.Descriptor) ([]byte, error) {
	if err := CheckDescriptor(small.what, d); err != nil {
		return nil, err
	}
	if d.Size > small.max {
		return nil, &TooLargeError{What: small.what, Limit: small.limit, Max: small.max}
	}
	data, err := s.loadOnce(ctx, small, d)
	var corrupt *blobs.CorruptError
	if !errors.As(err, &corrupt) {
		return data, err
	}
	// The stored copy is damaged. A fetched copy is verified.
	if err := s.client.options.Blobs.DiscardCorrupt(ctx, d.Digest); err != nil {
		return nil, &StoreError{Err: err}
	}
	return s.loadOnce(ctx, small, d)
}

func (s *session) loadOnce(ctx context.Context, small small, d ocispec.Descriptor) ([]byte, error) {
	// Small documents report no progress; layers do.
	if err := s.fetch(ctx, d, progress.DiscardOutput(), func(*blobs.Incoming) {}); err != nil {
		return nil, err
	}
	return s.client.options.Blobs.ReadAll(ctx, d.Digest, small.max)
}
