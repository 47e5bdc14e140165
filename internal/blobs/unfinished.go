package blobs

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
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

// Ingests lists what is unfinished.
func (s *Store) Ingests(ctx context.Context) ([]Unfinished, error) {
	statuses, err := s.content.ListStatuses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ingests: %w", err)
	}
	unfinished := make([]Unfinished, len(statuses))
	for i, status := range statuses {
		unfinished[i] = Unfinished{
			Ref:     status.Ref,
			Size:    status.Offset,
			Updated: status.UpdatedAt,
			InUse:   s.refs.inUse(status.Ref),
		}
	}
	return unfinished, nil
}

// Abort throws away what is unfinished under ref. The error is of class
// Conflict while an operation writes it; an unknown ref is not an error.
func (s *Store) Abort(ref string) error {
	if _, ok := s.refs.tryClaim(ref); !ok {
		return &InUseError{Ref: ref}
	}
	defer s.refs.release(ref)
	path := filepath.Join(s.dir, "ingest", digest.FromString(ref).Encoded())
	if err := s.fs.RemoveAll(path); err != nil {
		return fmt.Errorf("abort ingest %q: %w", ref, err)
	}
	return nil
}

// InUseError refuses to throw away what an operation is writing. Class
// Conflict.
type InUseError struct{ Ref string }

func (e *InUseError) Error() string { return fmt.Sprintf("ingest %q is in use", e.Ref) }

// Conflict marks the error's class.
func (e *InUseError) Conflict() {}
