// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// unfinished is an upload that was not committed. Its operation is in progress or
// was interrupted. The next writer of the same ref resumes it.
type unfinished struct {
	dir   string // the name of its directory
	ref   string // empty if a crash prevented it from being written
	size  int64
	inUse bool
}

// unfinished lists unfinished uploads, like ListStatuses of containerd's store,
// which however fails if a crash left a half-made ingest.
func (s *Store) unfinished() ([]unfinished, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "ingest"))
	if err != nil {
		return nil, fmt.Errorf("list ingests: %w", err)
	}
	all := make([]unfinished, len(entries))
	for i, entry := range entries {
		dir := filepath.Join(s.dir, "ingest", entry.Name())
		all[i].dir = entry.Name()
		// An unreadable ingest is being made or removed, or is half made. After
		// a power cut the file can contain anything.
		if ref, err := os.ReadFile(filepath.Join(dir, "ref")); err == nil && ingestDir(string(ref)) == entry.Name() {
			all[i].ref = string(ref)
			_, all[i].inUse = s.writing.Find(entry.Name())
		}
		if info, err := os.Stat(filepath.Join(dir, "data")); err == nil {
			all[i].size = info.Size()
		}
	}
	return all, nil
}

// ingestPath returns the directory of an ingest.
func (s *Store) ingestPath(ref string) string { return filepath.Join(s.dir, "ingest", ingestDir(ref)) }

// ingestDir returns the name of the directory of an ingest, as containerd's store
// derives it from the ref.
func ingestDir(ref string) string { return digest.FromString(ref).Encoded() }

// Abort deletes the unfinished upload of a ref. It returns an [InUseError] while
// an operation writes it. An unknown ref is not an error.
func (s *Store) Abort(ref string) error {
	if _, ok := s.writing.Try(ingestDir(ref), struct{}{}); !ok {
		return &InUseError{Ref: ref}
	}
	defer s.writing.Release(ingestDir(ref))
	path := s.ingestPath(ref)
	if err := s.fs.RemoveAll(path); err != nil {
		return fmt.Errorf("abort ingest %q: %w", ref, err)
	}
	return nil
}

// InUseError reports an upload that is being written and can't be deleted. Class
// Conflict.
type InUseError struct{ Ref string }

func (e *InUseError) Error() string { return plaintext.Sprintf("ingest %q is in use", e.Ref) }

// Conflict marks the error's class.
func (e *InUseError) Conflict() {}
