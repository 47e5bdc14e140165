package plugin

import (
	"context"

	"golang.org/x/sync/semaphore"
)

const (
	// defaultCreates lets 16 plugins be built side by side. A build takes up to
	// 4 MiB, most of it to compress, and 5 descriptors: an idle manager grows by
	// the order of the 64 MiB that a single verb may take, however many ask.
	defaultCreates = 16
	// defaultTransfers lets a host install many plugins side by side. They share
	// what unpacking takes ahead. Besides, a transfer with the largest manifest and
	// a large config takes 6 MB, hence 16 hostile ones 100 MB; ordinary ones have
	// documents of a few kB.
	defaultTransfers = 16
)

// places bounds how many verbs that take much memory are in progress at a time.
// The others wait in the order in which they came, and hold nothing meanwhile:
// no stage, no buffer, nothing of what their client sends.
type places struct{ free *semaphore.Weighted }

func newPlaces(number int64) places { return places{semaphore.NewWeighted(number)} }

// take waits for a place, or for the end of ctx, whose cause it returns.
func (p places) take(ctx context.Context) (leave func(), err error) {
	if p.free.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	return func() { p.free.Release(1) }, nil
}
