// Package blobs keeps content-addressed bytes, manifests, configs and layers,
// in containerd's local content store, in the directory and form that docker
// keeps them.
//
// A blob stays as long as a record refers to it or a [Pin] holds it, which is
// for [Store.Sweep] to find out. An operation pins every blob before it relies
// on it, and releases its pin after what it made refers to them, or after it
// gave up.
package blobs

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Store is a content store. All methods may be called concurrently.
type Store struct {
	content content.Store
	dir     string
	fs      *durable.FS
	pins    pins
	refs    refs

	sweeping sync.Mutex // held by the one sweep that runs
	removing sync.Mutex // held while a blob's file is deleted; inside of pins.mu
}

// Blob is the name and the size of some content.
type Blob struct {
	Digest digest.Digest
	Size   int64
}

// Open opens the store in dir, and makes it where it is missing.
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

// checkMovable refuses a store that no blob can be committed to.
func checkMovable(dir string, files *durable.FS) error {
	ingest, blobs := filepath.Join(dir, "ingest"), filepath.Join(dir, "blobs", digest.SHA256.String())
	movable, err := files.CanMove(ingest, blobs)
	if err == nil && !movable {
		err = fmt.Errorf("%s and %s are on different file systems or mounts: mount %s as a whole", ingest, blobs, dir)
	}
	return err
}

// path returns where the bytes of a valid digest are.
func (s *Store) path(dgst digest.Digest) string {
	return filepath.Join(s.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

// Size returns how large a blob is. The error is of class NotFound when it is
// not here.
func (s *Store) Size(ctx context.Context, dgst digest.Digest) (int64, error) {
	info, err := s.content.Info(ctx, dgst)
	return info.Size, err
}

// Has reports whether a blob is here. Pin it first, or it may be gone when the
// answer arrives.
func (s *Store) Has(ctx context.Context, dgst digest.Digest) (bool, error) {
	_, err := s.Size(ctx, dgst)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Put stores data, held by pin.
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

// sync makes the name of a committed blob durable; its bytes are already.
func (s *Store) sync(dgst digest.Digest) error {
	return s.fs.SyncDir(filepath.Dir(s.path(dgst)))
}

// TooLargeError refuses a blob above a limit. Class InvalidParameter.
type TooLargeError struct {
	Digest      digest.Digest
	Size, Limit int64
}

func (e *TooLargeError) Error() string {
	return plaintext.Sprintf("blob %s has %d bytes, the limit is %d", e.Digest, e.Size, e.Limit)
}

// InvalidParameter marks the error's class.
func (e *TooLargeError) InvalidParameter() {}

// CorruptError reports a blob whose bytes are not what its name says. Class
// DataLoss.
type CorruptError struct{ Digest digest.Digest }

func (e *CorruptError) Error() string {
	return plaintext.Sprintf("blob %s does not have the bytes that its digest says", e.Digest)
}

// DataLoss marks the error's class.
func (e *CorruptError) DataLoss() {}
