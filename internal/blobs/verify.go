package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// DiscardCorrupt deletes a blob, pinned or not, if its bytes are not what its
// digest says, so that it can be fetched again. Sound content stays, whoever
// reports it. A blob that is not here is no error.
func (s *Store) DiscardCorrupt(ctx context.Context, dgst digest.Digest) error {
	if err := dgst.Validate(); err != nil {
		return fmt.Errorf("discard blob: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	file, err := os.Open(s.path(dgst))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	verifier := dgst.Verifier()
	if _, err := io.Copy(verifier, &contextReader{ctx: ctx, from: file}); err != nil {
		return fmt.Errorf("verify blob %s: %w", dgst, err)
	}
	if verifier.Verified() {
		return nil
	}
	return s.unlinkSame(dgst, file)
}

// unlinkSame deletes a blob if its file is still the one that was verified: an
// operation may have replaced it by sound content meanwhile. A blob comes into
// being only where there is none, so nothing replaces it under removing.
func (s *Store) unlinkSame(dgst digest.Digest, verified *os.File) error {
	before, err := verified.Stat()
	if err != nil {
		return err
	}
	s.removing.Lock()
	defer s.removing.Unlock()
	now, err := os.Lstat(s.path(dgst))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(before, now) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.fs.Unlink(s.path(dgst))
}

// checkDescribed compares a descriptor with the content that is here under its
// digest. The content decides: a descriptor of another size is refused with a
// [DescriptorError], unless the content is unsound, which is deleted.
func (s *Store) checkDescribed(ctx context.Context, described Blob) error {
	size, err := s.Size(ctx, described.Digest)
	if errdefs.IsNotFound(err) || err == nil && size == described.Size {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.DiscardCorrupt(ctx, described.Digest); err != nil {
		return err
	}
	size, err = s.Size(ctx, described.Digest)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err == nil && size != described.Size {
		err = &DescriptorError{Described: described, Size: size}
	}
	return err
}

// DescriptorError refuses a descriptor whose size is not that of the content
// with its digest. Class InvalidParameter.
type DescriptorError struct {
	Described Blob
	Size      int64 // of the content
}

func (e *DescriptorError) Error() string {
	return plaintext.Sprintf("blob %s is described with %d bytes, its content has %d", e.Described.Digest, e.Described.Size, e.Size)
}

// InvalidParameter marks the error's class.
func (e *DescriptorError) InvalidParameter() {}

// contextReader ends a long read with its context.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.from.Read(p)
}
