// SPDX-License-Identifier: Apache-2.0

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

// Verify reads a blob and returns a [CorruptError] if its content does not match the
// digest. The error is of class NotFound if the store does not have the blob.
func (s *Store) Verify(ctx context.Context, dgst digest.Digest) error {
	r, err := s.Reader(ctx, dgst)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, &contextReader{ctx: ctx, from: r})
	return err
}

// DiscardCorrupt deletes a blob, pinned or not, if its content does not match the
// digest, so that it can be fetched again. It keeps a valid blob. A missing blob
// is not an error.
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

// unlinkSame deletes a blob unless an operation has replaced the verified file by
// a valid one since. A commit never replaces an existing blob, so the file can't
// change while removing is held.
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

// checkDescribed compares a descriptor with the stored blob of its digest. If the
// sizes differ, it deletes a corrupt blob; if the blob is valid, the descriptor is
// wrong and it returns a [DescriptorError].
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

// DescriptorError reports a descriptor with another size than the content of its
// digest. Class InvalidParameter.
type DescriptorError struct {
	Described Blob
	Size      int64 // of the content
}

func (e *DescriptorError) Error() string {
	return plaintext.Sprintf("blob %s: descriptor has size %d, content has size %d", e.Described.Digest, e.Described.Size, e.Size)
}

// InvalidParameter marks the error's class.
func (e *DescriptorError) InvalidParameter() {}

// contextReader is a reader that fails after the end of its context.
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
