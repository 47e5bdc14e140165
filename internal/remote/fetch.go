// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/pkg/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dovetailhq/plugin/internal/blobs"
)

// fetch downloads a blob, or its missing part, into the store and reports its
// progress to out. It calls begun if the blob can be read during the download. A
// resumed blob can't: its first part is not verified yet and may be refused. fetch
// then downloads the whole blob, once: a disk may refuse to delete the first part.
func (s *session) fetch(ctx context.Context, d ocispec.Descriptor, out progress.Output, begun func(*blobs.Incoming)) error {
	resumed, err := s.fetchOnce(ctx, d, out, begun)
	if _, wrong := find[*blobs.WrongContentError](err); wrong && resumed && ctx.Err() == nil {
		_, err = s.fetchOnce(ctx, d, out, begun)
	}
	return err
}

// fetchOnce is fetch without a second attempt. It reports whether it resumed an
// earlier download.
func (s *session) fetchOnce(ctx context.Context, d ocispec.Descriptor, out progress.Output, begun func(*blobs.Incoming)) (resumed bool, err error) {
	in, err := s.client.options.Blobs.Incoming(ctx, s.request.Pin, blobs.Blob{Digest: d.Digest, Size: d.Size}, s.source())
	if errdefs.IsAlreadyExists(err) {
		progress.Update(out, short(d), "Already exists")
		return false, nil
	}
	if described, ok := find[*blobs.DescriptorError](err); ok {
		return false, described
	}
	if err != nil {
		return false, &StoreError{Err: err}
	}
	if in.Resumed == 0 {
		begun(in)
	}
	err = s.arrive(ctx, in, d, out)
	if _, wrong := find[*blobs.WrongContentError](err); wrong {
		s.distrustMirrors()
	}
	return in.Resumed > 0, err
}

// arrive transfers a blob and commits it. It discards a blob with wrong content.
func (s *session) arrive(ctx context.Context, in *blobs.Incoming, d ocispec.Descriptor, out progress.Output) error {
	transfer := &download{session: s, in: in, blob: d, out: out}
	if err := transfer.receive(ctx); err != nil {
		// Readers get the same error as the caller.
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

// distrustMirrors excludes mirrors from the rest of the operation.
func (s *session) distrustMirrors() {
	for _, e := range s.endpoints {
		e.down.Store(e.mirror)
	}
}
