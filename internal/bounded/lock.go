// SPDX-License-Identifier: Apache-2.0

package bounded

import "context"

// Lock is a mutual exclusion lock with a context for the wait. Make it with
// [NewLock].
type Lock chan struct{}

// NewLock returns a lock that is free.
func NewLock() Lock { return make(Lock, 1) }

// Lock blocks until the lock is held, or returns the cause of the end of ctx.
func (l Lock) Lock(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TryLock takes the lock if it is free, and reports whether it did.
func (l Lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock frees the lock, which must be held.
func (l Lock) Unlock() { <-l }
