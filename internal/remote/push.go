// SPDX-License-Identifier: Apache-2.0

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

// Pushed describes the manifest that a push stored in the registry.
type Pushed struct {
	Tag    string
	Digest digest.Digest
	Size   int64 // of the manifest
}

// Push sends the configs and the layers that the registry lacks, several at a time,
// and then the manifest, unchanged. If it is an index, the manifests that it lists come
// before it, by digest. Sources are repositories that may have the layers already: if
// one is in the same registry, Push mounts blobs from it. Errors have the classes of
// [Client.Resolve]; content missing from the store is also of class NotFound.
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
	l := &inventory{session: s, known: map[digest.Digest]bool{}}
	target, err := l.add(ctx, manifest, "")
	if err != nil {
		return Pushed{}, err
	}
	registry, err := s.registryItself()
	if err != nil {
		return Pushed{}, err
	}
	p := &pusher{endpoint: registry, sources: s.mountable(sources)}
	if err := p.sendAll(ctx, l.blobs); err != nil {
		return Pushed{}, err
	}
	for _, variant := range l.variants {
		if err := p.sendManifest(ctx, variant, "manifests/"+variant.Digest.String()); err != nil {
			return Pushed{}, err
		}
	}
	if err := p.sendManifest(ctx, target, p.manifestPath(target)); err != nil {
		return Pushed{}, err
	}
	pushed := Pushed{Tag: s.request.tag(), Digest: target.Digest, Size: target.Size}
	progress.Messagef(s.request.Progress, "", "%s: digest: %s size: %d", pushed.Tag, pushed.Digest, pushed.Size)
	progress.Aux(s.request.Progress, types.PushResult{Tag: pushed.Tag, Digest: pushed.Digest.String(), Size: int(pushed.Size)})
	return pushed, nil
}

// registryItself returns the endpoint that is not a mirror.
func (s *session) registryItself() (*endpoint, error) {
	for _, e := range s.endpoints {
		if !e.mirror {
			return e, nil
		}
	}
	return nil, errors.New("only mirrors are known, and pushes need a registry")
}

// inventory lists what a push sends.
type inventory struct {
	session  *session
	blobs    []ocispec.Descriptor // each once
	variants []ocispec.Descriptor // manifests of an index
	known    map[digest.Digest]bool
}

// add adds the blobs that a manifest refers to, or those of an index, and returns the
// descriptor of the manifest. It checks that the store has all of them, and pins them.
func (l *inventory) add(ctx context.Context, manifest digest.Digest, mediaType string) (ocispec.Descriptor, error) {
	store := l.session.client.options.Blobs
	l.session.request.Pin.Add(manifest)
	data, err := store.ReadAll(ctx, manifest, defaultManifestBytes)
	if err != nil {
		return ocispec.Descriptor{}, missing("manifest", manifest, err)
	}
	d, err := Parse(data, mediaType)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if d.IsIndex() && mediaType == "" {
		err = l.addVariants(ctx, d)
	} else {
		err = l.addBlobs(ctx, d)
	}
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: manifest, Size: int64(len(data))}, err
}

// addVariants adds the manifests of an index, which lists no other index.
func (l *inventory) addVariants(ctx context.Context, index Document) error {
	for _, one := range index.Manifests {
		if err := CheckDescriptor("manifest", one); err != nil {
			return err
		}
		variant, err := l.add(ctx, one.Digest, one.MediaType)
		if err != nil {
			return err
		}
		l.variants = append(l.variants, variant)
	}
	return nil
}

func (l *inventory) addBlobs(ctx context.Context, d Document) error {
	if err := d.CheckPlugin(); err != nil {
		return err
	}
	for _, blob := range append(d.Layers, *d.Config) {
		if l.known[blob.Digest] {
			continue
		}
		l.known[blob.Digest] = true
		l.session.request.Pin.Add(blob.Digest)
		if err := l.session.checkStored(ctx, blob); err != nil {
			return err
		}
		l.blobs = append(l.blobs, bare(blob))
		progress.Update(l.session.request.Progress, short(blob), "Preparing")
	}
	return nil
}

// checkStored refuses a blob that the store lacks or has with another size, because
// the disk has damaged it or because the manifest is wrong.
func (s *session) checkStored(ctx context.Context, d ocispec.Descriptor) error {
	size, err := s.client.options.Blobs.Size(ctx, d.Digest)
	if err != nil {
		return missing("blob", d.Digest, err)
	}
	if size == d.Size {
		return nil
	}
	if err := s.client.options.Blobs.Verify(ctx, d.Digest); err != nil {
		return missing("blob", d.Digest, err)
	}
	return &blobs.DescriptorError{Described: blobs.Blob{Digest: d.Digest, Size: d.Size}, Size: size}
}

// missing returns the error for content that can't be read from the store.
func missing(what string, id digest.Digest, err error) error {
	if corrupt, ok := find[*blobs.CorruptError](err); ok {
		return corrupt
	}
	if errdefs.IsNotFound(err) {
		return &MissingError{What: what, Digest: id}
	}
	return &StoreError{Err: err}
}

// mountable returns the repositories that blobs can be mounted from: others of
// the same registry.
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
