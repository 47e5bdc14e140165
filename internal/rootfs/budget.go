// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory shared by all archives that are unpacked at the same
// time; a manager has one. In addition each archive takes the memory it needs
// to make progress: about 3 MiB, an ordinary window and what Limits.HeaderBytes
// allows. No archive that waits for its sender holds what another archive waits
// for, except that build contexts with large windows wait for each other. A Budget
// is safe for concurrent use.
type Budget struct {
	memory  *semaphore.Weighted // bytes of entries that are read ahead of their turn
	ahead   *semaphore.Weighted // window bytes of decoders ahead of their turn
	cores   *semaphore.Weighted // cores that compress
	members *semaphore.Weighted // members of gzip streams that are inflated on several cores

	// largeLayers and largeContexts are decoders with large windows, of layers that
	// have arrived and of build contexts.
	largeLayers, largeContexts *semaphore.Weighted

	// decoders and largeDecoders are unused, the former with ordinary windows. A
	// plugin can have 1000 layers, and the collector runs only once memory has
	// doubled.
	decoders, largeDecoders sync.Pool
}

const (
	// aheadMemoryBytes are some 10,000 entries, or fewer with small files.
	aheadMemoryBytes = 8 << 20
	// maxMembers of 1.1 MiB are in flight.
	maxMembers = 12
	// minMembers use two cores: one waits to be read, one is inflated, one arrives.
	minMembers = 3
	// aheadWindowBytes suffice for four zstd decoders with an ordinary window.
	aheadWindowBytes = 4 * ordinaryWindowBytes
)

// NewBudget returns an unused budget.
func NewBudget() *Budget {
	return &Budget{
		memory:  semaphore.NewWeighted(aheadMemoryBytes),
		ahead:   semaphore.NewWeighted(aheadWindowBytes),
		cores:   semaphore.NewWeighted(maxLayerBlocks),
		members: semaphore.NewWeighted(maxMembers),

		largeLayers:   semaphore.NewWeighted(1),
		largeContexts: semaphore.NewWeighted(1),
	}
}

// window reserves the window of a layer's decoder. A layer ahead of its turn takes
// free bytes of a separate pool, or waits for its turn: otherwise it could hold bytes
// that an earlier layer waits for. At its turn an ordinary window is free, and a large
// one waits until no other layer has one. Without a turn the window is that of a build
// context. The wait ends when ctx ends.
func (b *Budget) window(ctx context.Context, bytes int64, turn <-chan struct{}) (release func(), err error) {
	if turn == nil {
		return b.windowAtTurn(ctx, bytes, b.largeContexts)
	}
	select {
	case <-turn:
	default:
		if b.ahead.TryAcquire(bytes) {
			return func() { b.ahead.Release(bytes) }, nil
		}
	}
	select {
	case <-turn:
		return b.windowAtTurn(ctx, bytes, b.largeLayers)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (b *Budget) windowAtTurn(ctx context.Context, bytes int64, large *semaphore.Weighted) (release func(), err error) {
	if bytes <= ordinaryWindowBytes {
		return func() {}, nil
	}
	if large.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	return func() { large.Release(1) }, nil
}

// decoder returns a decoder for archives with at most the window. The caller
// calls recycle when the decoder is no longer in use.
func (b *Budget) decoder(window int64) (decoder *zstd.Decoder, recycle func()) {
	unused, most := &b.decoders, int64(ordinaryWindowBytes)
	if window > ordinaryWindowBytes {
		unused, most = &b.largeDecoders, maxZstdWindowBytes
	}
	decoder, ok := unused.Get().(*zstd.Decoder)
	if !ok {
		decoder = newZstdDecoder(most)
	}
	return decoder, func() {
		_ = decoder.Reset(nil) // fails only for closed decoders
		unused.Put(decoder)
	}
}

// compressors returns how many cores may compress: at least one, and at most
// wanted.
func (b *Budget) compressors(wanted int) (cores int, release func()) {
	for cores = wanted; cores > 1; cores-- {
		if b.cores.TryAcquire(int64(cores)) {
			return cores, func() { b.cores.Release(int64(cores)) }
		}
	}
	return 1, func() {}
}

// membersInFlight returns how many members of a stream may be in flight: at most
// wanted, and zero if fewer than minMembers are left.
func (b *Budget) membersInFlight(wanted int) (inFlight int, release func()) {
	for n := wanted; n >= minMembers; n-- {
		if b.members.TryAcquire(int64(n)) {
			return n, func() { b.members.Release(int64(n)) }
		}
	}
	return 0, func() {}
}
