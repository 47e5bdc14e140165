package remote

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// fetch brings a blob into the store, or what is missing of it, and tells out
// how far it is. Begun is told of the incoming blob if it can be read while it
// comes: what an earlier operation left of it is not verified yet, and might be
// refused in the end.
func (s *session) fetch(ctx context.Context, d ocispec.Descriptor, out progress.Output, begun func(*blobs.Incoming)) error {
	in, err := s.client.options.Blobs.Incoming(ctx, s.request.Pin, blobs.Blob{Digest: d.Digest, Size: d.Size}, s.source())
	if errdefs.IsAlreadyExists(err) {
		progress.Update(out, short(d), "Already exists")
		return nil
	}
	if described, ok := find[*blobs.DescriptorError](err); ok {
		return described
	}
	if err != nil {
		return &StoreError{Err: err}
	}
	if in.Resumed == 0 {
		begun(in)
	}
	err = s.arrive(ctx, in, d, out)
	if _, wrong := find[*blobs.WrongContentError](err); wrong {
		s.distrustMirrors()
		if in.Resumed > 0 {
			return s.fetch(ctx, d, out, begun)
		}
	}
	return err
}

// arrive transfers a blob and commits it. What turns out to be something else
// is thrown away.
func (s *session) arrive(ctx context.Context, in *blobs.Incoming, d ocispec.Descriptor, out progress.Output) error {
	transfer := &download{session: s, in: in, blob: d, out: out}
	if err := transfer.receive(ctx); err != nil {
		// Readers are told the same as the caller, whoever comes first.
		err = s.explain(ctx, "pull", err)
		in.Fail(err)
		if _, wrong := find[*blobs.WrongContentError](err); wrong {
			return errors.Join(err, s.client.options.Blobs.Forget(d.Digest, s.source()))
		}
		return err
	}
	progress.Update(out, short(d), "Verifying Checksum")
	if err := in.Commit(ctx); err != nil {
		if _, wrong := find[*blobs.WrongContentError](err); wrong {
			return transfer.explainEncoding(err)
		}
		return &StoreError{Err: err}
	}
	progress.Update(out, short(d), "Download complete")
	return nil
}

// distrustMirrors asks the registry alone for the rest of the operation.
func (s *session) distrustMirrors() {
	for _, e := range s.endpoints {
		e.down.Store(e.mirror)
	}
}
