package blobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Unfinished is content that began to come in and was not committed: by an
// operation that still runs, or by one that was cut off. What was fetched is
// resumed by the next writer that uses the same ref.
type Unfinished struct {
	Ref     string
	Size    int64
	Updated time.Time
	InUse   bool
}

// unfinished is an Unfinished and the name of its directory.
type unfinished struct {
	Unfinished
	dir string
}

// Ingests lists what is unfinished. The Ref is empty where a crash came before
// it reached the disk.
func (s *Store) Ingests(ctx context.Context) ([]Unfinished, error) {
	all, err := s.unfinished()
	if err != nil {
		return nil, err
	}
	list := make([]Unfinished, len(all))
	for i, u := range all {
		list[i] = u.Unfinished
	}
	return list, ctx.Err()
}

// unfinished does what containerd's store does in ListStatuses, which fails
// when a crash left an ingest of which only half was made.
func (s *Store) unfinished() ([]unfinished, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "ingest"))
	if err != nil {
		return nil, fmt.Errorf("list ingests: %w", err)
	}
	all := make([]unfinished, len(entries))
	for i, entry := range entries {
		dir := filepath.Join(s.dir, "ingest", entry.Name())
		all[i].dir = entry.Name()
		// What can't be read comes or goes at this moment, or is half made;
		// after a power cut it may hold anything.
		if ref, err := os.ReadFile(filepath.Join(dir, "ref")); err == nil && ingestDir(string(ref)) == entry.Name() {
			all[i].Ref = string(ref)
			all[i].InUse = s.refs.inUse(string(ref))
		}
		if info, err := os.Stat(filepath.Join(dir, "data")); err == nil {
			all[i].Size, all[i].Updated = info.Size(), info.ModTime()
		}
	}
	return all, nil
}

// ingestPath is where what comes under a ref is kept.
func (s *Store) ingestPath(ref string) string { return filepath.Join(s.dir, "ingest", ingestDir(ref)) }

// ingestDir is the directory of a ref.
func ingestDir(ref string) string { return digest.FromString(ref).Encoded() }

// Abort throws away what is unfinished under ref. The error is of class
// Conflict while an operation writes it; an unknown ref is not an error.
func (s *Store) Abort(ref string) error {
	if _, ok := s.refs.tryClaim(ref); !ok {
		return &InUseError{Ref: ref}
	}
	defer s.refs.release(ref)
	path := s.ingestPath(ref)
	if err := s.fs.RemoveAll(path); err != nil {
		return fmt.Errorf("abort ingest %q: %w", ref, err)
	}
	return nil
}

// InUseError refuses to throw away what an operation is writing. Class
// Conflict.
type InUseError struct{ Ref string }

func (e *InUseError) Error() string { return plaintext.Sprintf("ingest %q is in use", e.Ref) }

// Conflict marks the error's class.
func (e *InUseError) Conflict() {}
