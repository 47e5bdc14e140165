package rootfs

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory that all archives which share it take together,
// however many are unpacked at the same time: a manager has one. Beyond it each
// archive has what it needs to get on, some 3 MiB and what Limits.HeaderBytes
// allows. It is safe for concurrent use.
type Budget struct {
	blocks  chan block          // that layers are inflated into ahead of their turn
	ahead   *semaphore.Weighted // bytes that decoders ahead of their turn look back on
	windows *semaphore.Weighted // bytes that decoders look back on whose turn it is
	cores   *semaphore.Weighted // that compress
}

const (
	// aheadBlocks are 32 MiB: with fewer the cores that inflate ahead wait for
	// the layer before them, with more pulls take too much memory. The layer
	// being unpacked has others besides, so that it never waits for those ahead.
	aheadBlocks = 256
	// aheadWindowBytes are enough for four decoders of ordinary zstd.
	aheadWindowBytes = 4 * ordinaryWindowBytes
)

// NewBudget returns a budget that nothing is taken of yet.
func NewBudget() *Budget {
	return &Budget{
		blocks:  blocks(aheadBlocks),
		ahead:   semaphore.NewWeighted(aheadWindowBytes),
		windows: semaphore.NewWeighted(maxZstdWindowBytes),
		cores:   semaphore.NewWeighted(maxLayerBlocks),
	}
}

// window waits until a decoder may look back so many bytes, or for ctx. Before
// its turn has come a layer takes what is left, or waits for its turn: what it
// held could be what a layer before it waits for.
func (b *Budget) window(ctx context.Context, bytes int64, turn <-chan struct{}) (release func(), err error) {
	select {
	case <-turn:
	default:
		if b.ahead.TryAcquire(bytes) {
			return func() { b.ahead.Release(bytes) }, nil
		}
	}
	select {
	case <-turn:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if b.windows.Acquire(ctx, bytes) != nil {
		return nil, context.Cause(ctx)
	}
	return func() { b.windows.Release(bytes) }, nil
}

// compressors returns how many cores may compress, at most as many as wanted and
// at least one.
func (b *Budget) compressors(wanted int) (cores int, release func()) {
	for cores = wanted; cores > 1; cores-- {
		if b.cores.TryAcquire(int64(cores)) {
			return cores, func() { b.cores.Release(int64(cores)) }
		}
	}
	return 1, func() {}
}

// itsTurn is the turn of what is not unpacked after anything else.
var itsTurn = func() <-chan struct{} {
	turn := make(chan struct{})
	close(turn)
	return turn
}()
