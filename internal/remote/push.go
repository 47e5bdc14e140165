package remote

import (
	"context"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/labels"
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
	s, ctx := c.open(ctx, request, "pull,push")
	defer s.close()
	pushed, err := s.push(ctx, manifest, sources)
	return pushed, s.explain(ctx, "push", err)
}

func (s *session) push(ctx context.Context, manifest digest.Digest, sources []reference.Named) (Pushed, error) {
	target, contents, err := s.inventory(ctx, manifest)
	if err != nil {
		return Pushed{}, err
	}
	pusher, err := s.resolver.Pusher(ctx, s.name())
	if err != nil {
		return Pushed{}, err
	}
	for i := range contents {
		contents[i].Annotations = s.mountable(sources)
	}
	if err := s.sendAll(ctx, pusher, contents); err != nil {
		return Pushed{}, err
	}
	// Nobody is shown the manifest's way; the last message names it.
	if err := s.send(ctx, pusher, target, progress.DiscardOutput()); err != nil {
		return Pushed{}, err
	}
	pushed := Pushed{Digest: target.Digest, Size: target.Size}
	if tagged, ok := s.request.Reference.(reference.Tagged); ok {
		pushed.Tag = tagged.Tag()
	}
	progress.Messagef(s.request.Progress, "", "%s: digest: %s size: %d", pushed.Tag, pushed.Digest, pushed.Size)
	progress.Aux(s.request.Progress, types.PushResult{Tag: pushed.Tag, Digest: pushed.Digest.String(), Size: int(pushed.Size)})
	return pushed, nil
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

// mountable tells containerd's client, which knows hosts without their ports,
// where blobs may be mounted from: other repositories of the same registry.
func (s *session) mountable(sources []reference.Named) map[string]string {
	domain := reference.Domain(s.request.Reference)
	var repositories []string
	for _, source := range sources {
		if reference.Domain(source) == domain {
			repositories = append(repositories, reference.Path(source))
		}
	}
	host := (&url.URL{Host: domain}).Hostname()
	return map[string]string{labels.LabelDistributionSource + "." + host: strings.Join(repositories, ",")}
}

// sendAll sends several blobs at once. The first error ends the others.
func (s *session) sendAll(ctx context.Context, pusher remotes.Pusher, contents []ocispec.Descriptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan ocispec.Descriptor, len(contents))
	for _, blob := range contents {
		queue <- blob
	}
	close(queue)
	var workers sync.WaitGroup
	for range min(len(contents), s.client.options.Transfers) {
		workers.Go(func() {
			for blob := range queue {
				if err := s.send(ctx, pusher, blob, s.request.Progress); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// send uploads a blob or the manifest, and tries again what may go better.
func (s *session) send(ctx context.Context, pusher remotes.Pusher, d ocispec.Descriptor, out progress.Output) error {
	for failures := 0; ; failures++ {
		err := s.upload(ctx, pusher, d, out)
		if err == nil || ctx.Err() != nil || failures >= maxRetries || !isTemporary(err) {
			return err
		}
		if err := pause(ctx, backoff(s.client.options.RetryWait, failures)); err != nil {
			return err
		}
	}
}

func (s *session) upload(ctx context.Context, pusher remotes.Pusher, d ocispec.Descriptor, out progress.Output) error {
	writer, err := pusher.Push(ctx, d)
	if errdefs.IsAlreadyExists(err) {
		progress.Update(out, short(d), s.already(ctx, d))
		return nil
	}
	if err != nil {
		return err
	}
	defer writer.Close()
	blob, err := s.client.options.Blobs.Content(s.request.Pin).ReaderAt(ctx, d)
	if err != nil {
		return &StoreError{Err: err}
	}
	defer blob.Close()
	source := &meteredSource{
		SectionReader: io.NewSectionReader(blob, 0, d.Size),
		meter:         &meter{out: out, id: short(d), action: "Pushing", total: d.Size},
	}
	err = content.Copy(ctx, writer, source, d.Size, d.Digest)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	progress.Update(out, short(d), "Pushed")
	return nil
}

// already says why nothing has to be sent.
func (s *session) already(ctx context.Context, d ocispec.Descriptor) string {
	status, err := s.tracker.GetStatus(remotes.MakeRefKey(ctx, d))
	if err == nil && status.MountedFrom != "" {
		return "Mounted from " + status.MountedFrom
	}
	return "Layer already exists"
}

// meteredSource tells how much of a blob was sent. It may be sent again from
// its beginning.
type meteredSource struct {
	*io.SectionReader
	meter *meter
}

func (m *meteredSource) Read(p []byte) (int, error) {
	n, err := m.SectionReader.Read(p)
	m.meter.add(int64(n))
	return n, err
}

func (m *meteredSource) Seek(offset int64, whence int) (int64, error) {
	position, err := m.SectionReader.Seek(offset, whence)
	m.meter.current, m.meter.told = position, position
	return position, err
}
