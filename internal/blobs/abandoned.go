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
	// unnamed begins the refs of content of which the digest is not known
	// before its end. No later operation asks for it again.
	unnamed = "ingest-"
	// probe begins the names of what containerd's store tries the file system
	// with as it is opened.
	probe = ".fsverity-check-"
)

// SweepAbandoned throws away what is unfinished and no operation resumes. It
// leaves alone what is being written, and what was fetched of a blob that an
// operation has pinned. It returns how many and how large.
func (s *Store) SweepAbandoned() (Swept, error) {
	return s.abandon(s.isAbandoned)
}

// Abandoned returns what SweepAbandoned would throw away now.
func (s *Store) Abandoned() (Swept, error) {
	all, err := s.unfinished()
	var abandoned Swept
	for _, u := range all {
		if s.isAbandoned(u) && !u.InUse {
			abandoned.Blobs++
			abandoned.Bytes += u.Size
		}
	}
	return abandoned, err
}

// isAbandoned reports whether no operation has pinned what is unfinished.
func (s *Store) isAbandoned(u unfinished) bool {
	return !s.pins.holds(digestOf(u.Ref))
}

// SweepCrashed throws away what a crash left of operations that can't be
// resumed. It is for when none is under way. What it can't delete is in
// nobody's way.
func (s *Store) SweepCrashed() error {
	_, err := s.abandon(func(u unfinished) bool {
		return u.Ref == "" || strings.HasPrefix(u.Ref, unnamed)
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

// discardHalfMade throws away an ingest that could not be begun, as when the
// disk is full. The caller has claimed its ref.
func (s *Store) discardHalfMade(ref string) error {
	dir := s.ingestPath(ref)
	if written, err := os.ReadFile(filepath.Join(dir, "ref")); err == nil && string(written) == ref {
		return nil
	}
	return s.fs.Discard(dir)
}

func (s *Store) abandon(chosen func(unfinished) bool) (Swept, error) {
	all, err := s.unfinished()
	if err != nil {
		return Swept{}, err
	}
	var swept Swept
	var problems []error
	for _, u := range all {
		if !chosen(u) {
			continue
		}
		removed, err := s.refs.unlessUsed(u.dir, func() error {
			return s.fs.Discard(filepath.Join(s.dir, "ingest", u.dir))
		})
		if err != nil {
			problems = append(problems, fmt.Errorf("abandon ingest %q: %w", u.Ref, err))
		}
		if removed {
			swept.Blobs++
			swept.Bytes += u.Size
		}
	}
	return swept, errors.Join(problems...)
}

// Garbage returns what a sweep would delete now.
func (s *Store) Garbage(ctx context.Context, mark Mark) (Swept, error) {
	blobs, err := s.list()
	if err != nil {
		return Swept{}, err
	}
	marked, err := mark(ctx)
	if err != nil {
		return Swept{}, fmt.Errorf("find references to blobs: %w", err)
	}
	var garbage Swept
	for _, blob := range blobs {
		if _, referenced := marked[blob.Digest]; referenced || s.pins.holds(blob.Digest) {
			continue
		}
		garbage.Blobs++
		garbage.Bytes += blob.Size
	}
	return garbage, ctx.Err()
}

// unlessUsed calls remove if no operation writes to the ingest of that
// directory, and lets none begin to meanwhile.
func (r *refs) unlessUsed(dir string, remove func() error) (removed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.free {
		if ingestDir(ref) == dir {
			return false, nil
		}
	}
	err = remove()
	return err == nil, err
}

// holds reports whether any pin holds a blob now.
func (p *pins) holds(dgst digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[dgst] > 0
}
