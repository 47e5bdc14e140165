// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Tally is a number of blobs and their size in bytes.
type Tally struct {
	Count int
	Bytes int64
}

// Mark returns the digests of all referenced blobs. A sweep deletes all others,
// so Mark must return an error if it can't determine every reference.
type Mark func(ctx context.Context) (map[digest.Digest]struct{}, error)

// Sweep deletes the blobs that mark does not return and no pin holds. It waits for
// a sweep in progress. Other methods wait at most for the deletion of one blob.
//
// Sweep is correct because of its order: it first starts to record pins, then
// lists the blobs, and then calls mark. A pin released before the sweep has
// already published its references, which mark sees. Later pins are recorded in
// pins.during.
func (s *Store) Sweep(ctx context.Context, mark Mark) (Tally, error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	s.pins.beginSweep()
	defer s.pins.endSweep()
	candidates, err := s.list()
	if err != nil {
		return Tally{}, err
	}
	marked, err := mark(ctx)
	if err != nil {
		return Tally{}, fmt.Errorf("find references to blobs: %w", err)
	}
	return s.delete(ctx, candidates, marked)
}

func (s *Store) delete(ctx context.Context, candidates []Blob, marked map[digest.Digest]struct{}) (Tally, error) {
	var swept Tally
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
			swept.Count++
			swept.Bytes += candidate.Size
		}
	}
	return swept, errors.Join(problems...)
}
