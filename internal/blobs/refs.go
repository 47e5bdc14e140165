package blobs

import (
	"context"
	"sync"
)

// refs are the names of ingests in use. The zero value is ready.
type refs struct {
	mu   sync.Mutex
	free map[string]chan struct{} // closed when the ref is free again
}

// claim waits until nobody uses ref.
func (r *refs) claim(ctx context.Context, ref string) error {
	for {
		taken, ok := r.tryClaim(ref)
		if ok {
			return nil
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryClaim claims ref, or returns what is closed once it is free.
func (r *refs) tryClaim(ref string) (taken <-chan struct{}, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if free, ok := r.free[ref]; ok {
		return free, false
	}
	if r.free == nil {
		r.free = map[string]chan struct{}{}
	}
	r.free[ref] = make(chan struct{})
	return nil, true
}

func (r *refs) release(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.free[ref])
	delete(r.free, ref)
}

func (r *refs) inUse(ref string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.free[ref]
	return ok
}
