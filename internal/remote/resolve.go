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

// Plugin is a plugin as a registry has it: manifest and config are in the
// store, layers are not. Close ends it.
type Plugin struct {
	// Digest is what the reference stood for: that of the manifest, or of the
	// index in which the manifest was chosen.
	Digest digest.Digest
	// Manifest is the plugin's manifest, for one platform.
	Manifest ocispec.Descriptor
	// ConfigBytes is what the registry has as Config, verified.
	Config      ocispec.Descriptor
	ConfigBytes []byte
	// Layers are the layers, lowest first.
	Layers []ocispec.Descriptor

	session *session
}

// Resolve asks for a plugin and fetches its manifest and config, unless they
// are in the store; no layer is asked for. Errors are of class NotFound,
// Unauthorized, Forbidden or Unavailable as the registry answered or did not,
// InvalidParameter for what is not a plugin or too large, DataLoss for what has
// not the digest it should have, and ctx's.
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

// Close ends the plugin's connections. What was fetched stays in the store.
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
		d, err := parse(data, target.MediaType)
		if err != nil {
			return nil, err
		}
		if d.isIndex() {
			if target, err = choose(d.Manifests, s.client.options.Platform); err != nil {
				return nil, err
			}
			continue
		}
		if err := d.checkPlugin(); err != nil {
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

// bare is what of a descriptor is followed. Other addresses that it may name
// are not asked.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// asManifest makes a descriptor be fetched as a manifest even if the registry
// does not call it one; it is parsed by what it says itself.
func asManifest(d ocispec.Descriptor) ocispec.Descriptor {
	d = bare(d)
	if !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType) {
		d.MediaType = images.MediaTypeDockerSchema2Manifest
	}
	return d
}

// small is what is loaded into memory, and what bounds it.
type small struct {
	what  string
	limit string // the field of Options
	max   int64
}

func (o Options) manifest() small { return small{"manifest", "ManifestBytes", o.ManifestBytes} }
func (o Options) config() small   { return small{"config", "ConfigBytes", o.ConfigBytes} }

// load returns a small blob, from the store or from the registry.
func (s *session) load(ctx context.Context, small small, d ocispec.Descriptor) ([]byte, error) {
	if err := checkDescriptor(small.what, d); err != nil {
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
	// It was here, but damaged; what is fetched is verified.
	if err := s.client.options.Blobs.DiscardCorrupt(ctx, d.Digest); err != nil {
		return nil, &StoreError{Err: err}
	}
	return s.loadOnce(ctx, small, d)
}

func (s *session) loadOnce(ctx context.Context, small small, d ocispec.Descriptor) ([]byte, error) {
	// People are shown layers; this is too small to wait for.
	if err := s.fetch(ctx, d, progress.DiscardOutput(), func(*blobs.Incoming) {}); err != nil {
		return nil, err
	}
	return s.client.options.Blobs.ReadAll(ctx, d.Digest, small.max)
}
