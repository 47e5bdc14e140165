package rootfs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// maxInflating bounds the layers being inflated at once, and the memory that
// their decoders take.
const maxInflating = 4

// Source opens a layer as it is stored, compressed or not. Reads of what it
// returns end when ctx does.
type Source func(ctx context.Context) (io.ReadCloser, error)

// ApplyAll unpacks layers over each other in the order of their sources, like
// [Unpacker.Apply] with [Decompress]. While one is unpacked, those after it are
// inflated and digested on other cores, as far ahead as the budget allows.
// Sources are read to their ends. Applied, on the caller's goroutine, is told of each
// layer; its error ends all.
func (u *Unpacker) ApplyAll(ctx context.Context, sources []Source, applied func(i int, layer Layer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	layers := make([]*inflating, len(sources))
	defer func() {
		cancel()
		workers.Wait()
		for _, from := range layers {
			from.pipe.discard()
		}
	}()
	queue := make(chan int, len(sources))
	for i, source := range sources {
		layers[i] = newInflating(source, u.meter.limits)
		if len(sources) == 1 {
			layers[i].pipe.shared = nil // it has nothing before it to wait for
		}
		queue <- i
	}
	close(queue)
	for range min(len(sources), runtime.GOMAXPROCS(0), maxInflating) {
		workers.Go(func() {
			for i := range queue {
				layers[i].run(ctx)
			}
		})
	}
	own := blocks(pumpBlocks)
	stored := int64(0)
	for i, from := range layers {
		close(from.turn)
		from.pipe.own <- own
		before := stored
		u.meter.stored = func() int64 { return before + from.stored() }
		layer, err := u.applyInflated(ctx, from)
		stored = u.meter.stored()
		if err == nil {
			err = applied(i, layer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyInflated unpacks a layer that another goroutine inflates.
func (u *Unpacker) applyInflated(ctx context.Context, from *inflating) (Layer, error) {
	read := u.meter.read
	err := u.unpack(ctx, from.pipe)
	if from.pipe.failed != nil {
		return Layer{}, fmt.Errorf("read archive: %w", from.pipe.failed)
	}
	if err != nil {
		return Layer{}, err
	}
	return Layer{DiffID: digest.NewDigest(digest.SHA256, from.pipe.hash), Bytes: u.meter.read - read}, nil
}

// inflating is a layer on its way from its source to the unpacker.
type inflating struct {
	source Source
	limits Limits
	pipe   *pipe
	turn   chan struct{} // closed when all layers before it are unpacked
	plain  atomic.Pointer[Decompressor]
}

func newInflating(source Source, limits Limits) *inflating {
	return &inflating{
		source: source,
		limits: limits,
		pipe:   newPipe(limits.Budget.blocks, sha256.New()),
		turn:   make(chan struct{}),
	}
}

// stored returns how many bytes were read of the layer as it is stored.
func (i *inflating) stored() int64 {
	if plain := i.plain.Load(); plain != nil {
		return plain.stored()
	}
	return 0
}

func (i *inflating) run(ctx context.Context) {
	// Its error is the consumer's to tell.
	_ = i.pipe.carry(func() error { return i.inflate(ctx) })
}

func (i *inflating) inflate(ctx context.Context) error {
	stored, err := i.source(ctx)
	if err != nil {
		return err
	}
	defer stored.Close()
	plain, err := decompress(ctx, stored, i.limits, i.turn)
	if err != nil {
		return err
	}
	defer plain.Close()
	i.plain.Store(plain)
	if err := i.pipe.fill(ctx, plain); err != nil {
		return err
	}
	// What follows the archive belongs to what was promised, too, and may be
	// what shows that the promise was not kept.
	_, err = io.Copy(io.Discard, stored)
	return err
}
