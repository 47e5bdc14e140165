// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	// unnamed is the prefix of refs of an [Ingest]. No later operation resumes
	// its content.
	unnamed = "ingest-"
	// probe is the name prefix of the files by which containerd's store tests the
	// file system when it opens:
	// https://github.com/containerd/containerd/blob/v2.1.5/internal/fsverity/fsverity_linux.go
	probe = ".fsverity-check-"
)

// SweepAbandoned deletes unfinished content that no operation will resume. It
// keeps content that is being written, and partial downloads of blobs that an
// operation has pinned. It returns the number and the size of what it deleted.
func (s *Store) SweepAbandoned() (Tally, error) {
	return s.abandon(s.isAbandoned)
}

// Abandoned returns what SweepAbandoned would delete now.
func (s *Store) Abandoned() (Tally, error) {
	all, err := s.unfinished()
	var abandoned Tally
	for _, u := range all {
		if s.isAbandoned(u) && !u.inUse {
			abandoned.Count++
			abandoned.Bytes += u.size
		}
	}
	return abandoned, err
}

// isAbandoned reports whether no operation has pinned the unfinished blob.
func (s *Store) isAbandoned(u unfinished) bool {
	return !s.pins.holds(digestOf(u.ref))
}

// SweepCrashed deletes what a crash left of operations that can't be resumed.
// The caller makes sure that no operation is in progress. Leftovers that can't be
// deleted are harmless.
func (s *Store) SweepCrashed() error {
	_, err := s.abandon(func(u unfinished) bool {
		return u.ref == "" || strings.HasPrefix(u.ref, unnamed)
	})
	entries, listErr := os.ReadDir(s.dir)
	problems := []error{err, listErr}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), probe) {
			problems = append(problems, s.fs.Discard(filepath.Join(s.dir, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

// discardHalfMade deletes an ingest that could not be begun, for example because
// the disk is full. The caller has claimed its ref.
func (s *Store) discardHalfMade(ref string) error {
	dir := s.ingestPath(ref)
	if written, err := os.ReadFile(filepath.Join(dir, "ref")); err == nil && string(written) == ref {
		return nil
	}
	return s.fs.Discard(dir)
}

// abandon deletes the chosen ingests, unless an operation writes to them.
func (s *Store) abandon(chosen func(unfinished) bool) (Tally, error) {
	all, err := s.unfinished()
	if err != nil {
		return Tally{}, err
	}
	var swept Tally
	var problems []error
	for _, u := range all {
		if !chosen(u) {
			continue
		}
		removed, err := s.unlessUsed(u.dir, func() error {
			return s.fs.Discard(filepath.Join(s.dir, "ingest", u.dir))
		})
		if err != nil {
			problems = append(problems, fmt.Errorf("abandon ingest %q: %w", u.ref, err))
		}
		if removed {
			swept.Count++
			swept.Bytes += u.size
		}
	}
	return swept, errors.Join(problems...)
}

// Garbage returns what a sweep would delete now.
func (s *Store) Garbage(ctx context.Context, mark Mark) (Tally, error) {
	blobs, err := s.list()
	if err != nil {
		return Tally{}, err
	}
	marked, err := mark(ctx)
	if err != nil {
		return Tally{}, fmt.Errorf("find references to blobs: %w", err)
	}
	var garbage Tally
	for _, blob := range blobs {
		if _, referenced := marked[blob.Digest]; referenced || s.pins.holds(blob.Digest) {
			continue
		}
		garbage.Count++
		garbage.Bytes += blob.Size
	}
	return garbage, ctx.Err()
}

// unlessUsed calls remove unless an operation writes to the ingest in dir. No
// operation can claim it while remove runs.
func (s *Store) unlessUsed(dir string, remove func() error) (removed bool, err error) {
	if _, ok := s.writing.Try(dir, struct{}{}); !ok {
		return false, nil
	}
	defer s.writing.Release(dir)
	err = remove()
	return err == nil, err
}

// holds reports whether any pin holds a blob now.
func (p *pins) holds(dgst digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[dgst] > 0
}
