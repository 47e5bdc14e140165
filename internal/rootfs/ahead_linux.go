// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"crypto/sha256"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

const (
	// maxAhead bounds the layers that are inflated at once or wait for their turn, and
	// thereby the memory for their decoders and entries.
	maxAhead = 16
	// aheadBlocks is the memory between the inflating and the reading of a layer
	// ahead of its turn.
	aheadBlocks = 4
)

// ApplyAll unpacks layers over each other and over the content of the directory, in
// the order of their sources. While one layer is unpacked, the next ones are inflated
// and digested on other cores, and their files are written to a pool. At its turn a
// layer's entries are replayed in order, and its files are moved into place. Sources
// are read to their ends. ApplyAll calls applied after each layer, on the caller's
// goroutine; an error of applied stops ApplyAll and is returned.
//
// The files in the pool are bounded by Limits.UnpackedBytes, like the unpacked ones.
//
// An error is of class InvalidParameter if an archive is to blame and of class
// System if the host is; otherwise it wraps the error of a source or of ctx. After
// an error the caller discards the directory. ApplyAll returns soon after the end of
// ctx, whatever the archives contain.
func (u *Unpacker) ApplyAll(ctx context.Context, sources []Source, applied func(i int, layer Layer) error) (retErr error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	layers := make([]*aheadLayer, len(sources))
	p, err := u.openPool(len(sources))
	if err != nil {
		return err
	}
	defer func() {
		if err := p.close(); retErr == nil {
			retErr = err
		}
	}()
	var workers sync.WaitGroup
	defer func() {
		cancel()
		workers.Wait()
		for _, from := range layers {
			if from != nil {
				from.discard()
			}
		}
	}()
	queue := make(chan *aheadLayer, maxAhead)
	defer close(queue)
	for i, source := range sources {
		layers[i] = newAheadLayer(source, u.meter.limits, p)
	}
	for range min(len(sources), runtime.GOMAXPROCS(0), maxAhead) {
		workers.Go(func() {
			for from := range queue {
				from.run(ctx)
			}
		})
	}
	return u.applyInOrder(ctx, layers, queue, applied)
}

// applyInOrder queues each layer to be inflated when fewer than maxAhead layers are
// between it and the one at its turn.
func (u *Unpacker) applyInOrder(ctx context.Context, layers []*aheadLayer, queue chan<- *aheadLayer, applied func(i int, layer Layer) error) error {
	stored := int64(0) // bytes of different layers
	seen := make(map[digest.Digest]bool)
	next := 0
	defer func() { clear(layers[next:]) }() // layers that were not queued hold nothing
	for i, from := range layers {
		close(from.turn)
		for ; next < min(len(layers), i+maxAhead); next++ {
			queue <- layers[next]
		}
		before := stored
		archive := &replay{layer: from, meter: u.meter}
		u.meter.stored = func() int64 { return before + archive.stored() }
		layer, err := u.applyAhead(ctx, archive)
		if err == nil {
			err = applied(i, layer)
		}
		if err != nil {
			return err
		}
		// A registry sends a layer once, however often the manifest names it.
		if !seen[layer.DiffID] {
			seen[layer.DiffID] = true
			stored += from.stored()
		}
		layers[i] = nil // its memory is free before the next 999 layers
	}
	return nil
}

// applyAhead unpacks a layer that another goroutine inflates.
func (u *Unpacker) applyAhead(ctx context.Context, archive *replay) (Layer, error) {
	read := u.meter.read
	err := u.unpack(ctx, archive)
	archive.release()
	if err != nil {
		return Layer{}, archive.explain(err)
	}
	return Layer{DiffID: digest.NewDigest(digest.SHA256, archive.layer.pipe.hash), Bytes: u.meter.read - read}, nil
}

// aheadLayer is a layer that is being inflated for the unpacker, perhaps before its
// turn.
type aheadLayer struct {
	source  Source
	limits  Limits
	pipe    *pipe
	turn    chan struct{}    // closed once all earlier layers are unpacked
	opened  chan struct{}    // closed once entries is set: a plugin can have 1000 layers
	entries chan *aheadEntry // set by run
	pool    *pool
	plain   atomic.Pointer[Decompressor]
}

func newAheadLayer(source Source, limits Limits, p *pool) *aheadLayer {
	return &aheadLayer{
		source: source,
		limits: limits,
		pipe:   newPipe(sha256.New()),
		turn:   make(chan struct{}),
		opened: make(chan struct{}),
		pool:   p,
	}
}

// stored returns how many bytes of the stored layer were read.
func (a *aheadLayer) stored() int64 {
	if plain := a.plain.Load(); plain != nil {
		return plain.stored()
	}
	return 0
}

// isTurn reports whether all earlier layers are unpacked.
func (a *aheadLayer) isTurn() bool {
	select {
	case <-a.turn:
		return true
	default:
		return false
	}
}

// run inflates the layer. Until its turn comes, it reads the entries as well.
func (a *aheadLayer) run(ctx context.Context) {
	blockCount := aheadBlocks
	if a.isTurn() {
		blockCount = pumpBlocks
	}
	a.pipe.empty = blocks(blockCount)
	a.entries = make(chan *aheadEntry, maxAheadEntries)
	close(a.opened)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() {
		if !a.readAhead(ctx) {
			cancel()
		}
	})
	// The consumer gets the error from the pipe.
	_ = a.pipe.run(func() error { return a.inflate(ctx) })
}

func (a *aheadLayer) inflate(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stored, err := a.source(ctx)
	if err != nil {
		return err
	}
	defer stored.Close()
	plain, err := decompress(ctx, stored, a.limits, layerState{a.turn, a.arrived}, runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	defer plain.Close()
	defer cancel() // ends a read of stored that Close waits for
	a.plain.Store(plain)
	filled := a.pipe.fill(ctx, plain)
	if filled != nil && !isFormatError(filled) {
		return filled
	}
	// Trailing bytes count for the digest: read to the end so that the source
	// notices a mismatch, which can also be why the archive is malformed.
	if _, err := io.Copy(io.Discard, stored); err != nil {
		return err
	}
	return filled
}

// arrived waits until the whole layer is here: other layers wait for a decoder with a
// large window, and a registry decides how long the download takes.
func (a *aheadLayer) arrived(ctx context.Context) error {
	stored, err := a.source(ctx)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stored)
	if closeErr := stored.Close(); err == nil {
		err = closeErr
	}
	return err
}

// discard releases the memory of entries and blocks that were not consumed. It is
// called after run has returned.
func (a *aheadLayer) discard() {
	for {
		select {
		case e := <-a.entries:
			e.release(a.limits.Budget)
		default:
			a.pipe.discard()
			return
		}
	}
}
