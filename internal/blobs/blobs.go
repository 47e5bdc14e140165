// SPDX-License-Identifier: Apache-2.0

// Package blobs stores content-addressed blobs: manifests, configs and layers. It
// uses containerd's local content store, with docker's directory and format.
//
// A blob is kept while a record refers to it or a [Pin] holds it; [Store.Sweep]
// deletes all others. An operation pins every blob before it relies on it. It
// releases the pin after its record refers to the blobs, or after it gave up.
package blobs

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Store is a content store. It is safe for concurrent use.
type Store struct {
	content content.Store
	dir     string
	fs      *durable.FS
	pins    pins
	writing bounded.Claims[string, struct{}] // by directory of an ingest

	sweeping sync.Mutex // held by the running sweep
	removing sync.Mutex // held while a blob's file is deleted; acquired after pins.mu
}

// Blob is the digest and the size of some content.
type Blob struct {
	Digest digest.Digest
	Size   int64
}

// Open opens the store in dir, which it creates if necessary.
func Open(dir string, files *durable.FS) (*Store, error) {
	for _, sub := range []string{filepath.Join("blobs", digest.SHA256.String()), "ingest"} {
		if err := files.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := checkMovable(dir, files); err != nil {
		return nil, fmt.Errorf("use content store %s: %w", dir, err)
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("open content store %s: %w", dir, err)
	}
	return &Store{content: store, dir: dir, fs: files}, nil
}

// checkMovable returns an error if blobs can't be committed, because a rename
// from ingest to blobs is impossible.
func checkMovable(dir string, files *durable.FS) error {
	ingest, blobs := filepath.Join(dir, "ingest"), filepath.Join(dir, "blobs", digest.SHA256.String())
	movable, err := files.CanMove(ingest, blobs)
	if err == nil && !movable {
		err = fmt.Errorf("%s and %s are on different file systems or mounts: mount %s as a whole", ingest, blobs, dir)
	}
	return err
}

// path returns the path of the blob with a valid digest.
func (s *Store) path(dgst digest.Digest) string {
	return filepath.Join(s.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

// Size returns the size of a blob. The error is of class NotFound if the store
// does not have it.
func (s *Store) Size(ctx context.Context, dgst digest.Digest) (int64, error) {
	info, err := s.content.Info(ctx, dgst)
	return info.Size, err
}

// Put stores data as a blob that pin holds. The blob is durable when Put returns
// nil.
func (s *Store) Put(ctx context.Context, pin *Pin, data []byte) (digest.Digest, error) {
	dgst := digest.FromBytes(data)
	pin.Add(dgst)
	w, err := s.Ingest(ctx, pin)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return "", err
	}
	if _, err := w.Commit(ctx); err != nil {
		return "", err
	}
	return dgst, nil
}

// sync makes the name of a committed blob durable. Its bytes already are.
func (s *Store) sync(dgst digest.Digest) error {
	return s.fs.SyncDir(filepath.Dir(s.path(dgst)))
}

// TooLargeError reports a blob above a limit. Class InvalidParameter.
type TooLargeError struct {
	Digest      digest.Digest
	Size, Limit int64
}

func (e *TooLargeError) Error() string {
	return plaintext.Sprintf("blob %s has %d bytes, the limit is %d", e.Digest, e.Size, e.Limit)
}

// InvalidParameter marks the error's class.
func (e *TooLargeError) InvalidParameter() {}

// CorruptError reports that the content of a blob does not match its digest. Class
// DataLoss.
type CorruptError struct{ Digest digest.Digest }

func (e *CorruptError) Error() string {
	return plaintext.Sprintf("blob %s is corrupt: its content does not match the digest", e.Digest)
}

// DataLoss marks the error's class.
func (e *CorruptError) DataLoss() {}
