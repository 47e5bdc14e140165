package rootfs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// aheadBlocks are shared by the layers, 32 MiB: with fewer the cores that
	// inflate ahead wait for the layer before them, with more a pull takes too
	// much memory. The layer being unpacked has others besides, so that it
	// never waits for those ahead.
	aheadBlocks = 256
	// maxInflating bounds the layers being inflated at once, and the memory
	// that their decoders take.
	maxInflating = 4
)

// Source opens a layer as it is stored, compressed or not. Reads of what it
// returns end when ctx does.
type Source func(ctx context.Context) (io.ReadCloser, error)

// ApplyAll unpacks layers over each other in the order of their sources, like
// [Unpacker.Apply] with [Decompress]. While one is unpacked, those after it are
// inflated and digested on other cores, as far ahead as 32 MiB hold. Sources
// are read to their ends. Applied, on the caller's goroutine, is told of each
// layer; its error ends all.
func (u *Unpacker) ApplyAll(ctx context.Context, sources []Source, applied func(i int, layer Layer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	shared := blocks(0)
	if len(sources) > 1 {
		shared = blocks(aheadBlocks)
	}
	layers := make([]*inflating, len(sources))
	queue := make(chan int, len(sources))
	for i, source := range sources {
		layers[i] = newInflating(source, u.meter.limits, shared)
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
	for i, from := range layers {
		from.pipe.own <- own
		layer, err := u.applyInflated(from)
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
func (u *Unpacker) applyInflated(from *inflating) (Layer, error) {
	read := u.meter.read
	err := u.unpack(u.meter.reader(from.pipe))
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
}

func newInflating(source Source, limits Limits, shared chan block) *inflating {
	return &inflating{source: source, limits: limits, pipe: newPipe(shared, sha256.New())}
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
	plain, err := Decompress(stored, i.limits)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := i.pipe.fill(ctx, plain); err != nil {
		return err
	}
	// What follows the archive belongs to what was promised, too, and may be
	// what shows that the promise was not kept.
	_, err = io.Copy(io.Discard, stored)
	return err
}
