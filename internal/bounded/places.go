// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Places bounds how many verbs that take much memory are in progress at a time.
// The others wait in order. While they wait they hold neither a stage nor a buffer
// nor data from their client.
type Places struct{ free *semaphore.Weighted }

// NewPlaces returns a number of free places.
func NewPlaces(number int64) Places { return Places{semaphore.NewWeighted(number)} }

// Take waits for a place, and calls onWait first if none is free. If ctx ends
// before a place is free, it returns the cause of ctx.
func (p Places) Take(ctx context.Context, onWait func()) (leave func(), err error) {
	leave = func() { p.free.Release(1) }
	if ctx.Err() == nil && p.free.TryAcquire(1) {
		return leave, nil
	}
	onWait()
	if p.free.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	return leave, nil
}
