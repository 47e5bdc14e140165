package remote

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// Pushed is what a push left in the registry.
type Pushed struct {
	Tag    string
	Digest digest.Digest
	Size   int64 // of the manifest
}

// Push sends a manifest, byte by byte as it is in the store, and before it the
// config and the layers that the registry does not have, several at once.
// Sources are where the same layers may already be: those in the same registry
// are mounted from there if it allows. Errors are of the classes of
// [Client.Resolve]; NotFound, too, when the store lacks something.
func (c *Client) Push(ctx context.Context, request Request, manifest digest.Digest, sources ...reference.Named) (Pushed, error) {
	request.Reference = reference.TagNameOnly(request.Reference)
	s, err := c.open(ctx, request, "pull,push")
	if err != nil {
		return Pushed{}, s.explain(ctx, "push", err)
	}
	defer s.close()
	pushed, err := s.push(ctx, manifest, sources)
	return pushed, s.explain(ctx, "push", err)
}

func (s *session) push(ctx context.Context, manifest digest.Digest, sources []reference.Named) (Pushed, error) {
	target, contents, err := s.inventory(ctx, manifest)
	if err != nil {
		return Pushed{}, err
	}
	registry, err := s.registryItself()
	if err != nil {
		return Pushed{}, err
	}
	p := &pusher{endpoint: registry, sources: s.mountable(sources)}
	if err := p.sendAll(ctx, contents); err != nil {
		return Pushed{}, err
	}
	if err := p.sendManifest(ctx, target); err != nil {
		return Pushed{}, err
	}
	pushed := Pushed{Tag: s.request.tag(), Digest: target.Digest, Size: target.Size}
	progress.Messagef(s.request.Progress, "", "%s: digest: %s size: %d", pushed.Tag, pushed.Digest, pushed.Size)
	progress.Aux(s.request.Progress, types.PushResult{Tag: pushed.Tag, Digest: pushed.Digest.String(), Size: int(pushed.Size)})
	return pushed, nil
}

// registryItself is the endpoint that is no mirror.
func (s *session) registryItself() (*endpoint, error) {
	for _, e := range s.endpoints {
		if !e.mirror {
			return e, nil
		}
	}
	return nil, errors.New("only mirrors are known, which can't be pushed to")
}

// inventory is what a manifest refers to, each blob once, all of it held and
// in the store.
func (s *session) inventory(ctx context.Context, manifest digest.Digest) (ocispec.Descriptor, []ocispec.Descriptor, error) {
	store := s.client.options.Blobs
	s.request.Pin.Add(manifest)
	data, err := store.ReadAll(ctx, manifest, defaultManifestBytes)
	if err != nil {
		return ocispec.Descriptor{}, nil, missing("manifest", manifest, err)
	}
	d, err := parse(data, "")
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	if err := d.checkPlugin(); err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	var all []ocispec.Descriptor
	known := map[digest.Digest]bool{}
	for _, blob := range append(d.Layers, *d.Config) {
		if known[blob.Digest] {
			continue
		}
		known[blob.Digest] = true
		s.request.Pin.Add(blob.Digest)
		if err := s.checkStored(ctx, blob); err != nil {
			return ocispec.Descriptor{}, nil, err
		}
		all = append(all, bare(blob))
		progress.Update(s.request.Progress, short(blob), "Preparing")
	}
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: manifest, Size: int64(len(data))}, all, nil
}

// checkStored refuses to send what is not here, or only in part.
func (s *session) checkStored(ctx context.Context, d ocispec.Descriptor) error {
	size, err := s.client.options.Blobs.Size(ctx, d.Digest)
	if err != nil {
		return missing("blob", d.Digest, err)
	}
	if size != d.Size {
		return &blobs.DescriptorError{Described: blobs.Blob{Digest: d.Digest, Size: d.Size}, Size: size}
	}
	return nil
}

func missing(what string, id digest.Digest, err error) error {
	if errdefs.IsNotFound(err) {
		return &MissingError{What: what, Digest: id}
	}
	return &StoreError{Err: err}
}

// mountable returns where blobs may be mounted from: other repositories of the
// same registry.
func (s *session) mountable(sources []reference.Named) []string {
	var repositories []string
	for _, source := range sources {
		sameHost := reference.Domain(source) == reference.Domain(s.request.Reference)
		if path := reference.Path(source); sameHost && path != reference.Path(s.request.Reference) {
			repositories = append(repositories, path)
		}
	}
	return repositories
}
