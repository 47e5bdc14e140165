package blobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Swept is what a sweep deleted.
type Swept struct {
	Blobs int
	Bytes int64
}

// Mark returns the digests of all blobs that are needed. One that is missing
// from the result is deleted, so an error is right when anything is unknown.
type Mark func(ctx context.Context) (map[digest.Digest]struct{}, error)

// Sweep deletes the blobs that mark does not return and no pin holds. One
// sweep runs at a time; nobody else waits for it longer than it takes to
// delete one blob.
//
// The order is what makes it right: pins are noted from before the blobs are
// listed until the end, and mark is called after that. Who held a blob before
// has published by then what refers to it, which mark sees; who held it since
// is noted.
func (s *Store) Sweep(ctx context.Context, mark Mark) (Swept, error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	s.pins.beginSweep()
	defer s.pins.endSweep()
	candidates, err := s.list()
	if err != nil {
		return Swept{}, err
	}
	marked, err := mark(ctx)
	if err != nil {
		return Swept{}, fmt.Errorf("find references to blobs: %w", err)
	}
	return s.delete(ctx, candidates, marked)
}

func (s *Store) delete(ctx context.Context, candidates []Blob, marked map[digest.Digest]struct{}) (Swept, error) {
	var swept Swept
	var problems []error
	for _, candidate := range candidates {
		if err := ctx.Err(); err != nil {
			return swept, err
		}
		if _, referenced := marked[candidate.Digest]; referenced {
			continue
		}
		removed, err := s.pins.unlessHeld(candidate.Digest, func() error {
			s.removing.Lock()
			defer s.removing.Unlock()
			return s.fs.Unlink(s.path(candidate.Digest))
		})
		problems = append(problems, err)
		if removed {
			swept.Blobs++
			swept.Bytes += candidate.Size
		}
	}
	return swept, errors.Join(problems...)
}
