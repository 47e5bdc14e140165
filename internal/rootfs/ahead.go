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
	// aheadBlocks are shared by the layers that are inflated ahead, 16 MiB;
	// ownBlocks keep the one being unpacked from waiting for them.
	aheadBlocks = 128
	ownBlocks   = 8
	// maxInflating bounds the layers being inflated at once, and the memory
	// that their decoders take.
	maxInflating = 4
)

// Source opens a layer as it is stored, compressed or not. Reads of what it
// returns end when ctx does.
type Source func(ctx context.Context) (io.ReadCloser, error)

// ApplyAll unpacks layers over each other in the order of their sources, like
// [Unpacker.Apply] with [Decompress]. While one is unpacked, those after it are
// inflated and digested on other cores, as far ahead as 16 MiB hold. Sources
// are read to their ends. Applied, on the caller's goroutine, is told of each
// layer; its error ends all.
func (u *Unpacker) ApplyAll(ctx context.Context, sources []Source, applied func(i int, layer Layer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	shared := blocks(aheadBlocks)
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
	for i, from := range layers {
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
	return Layer{DiffID: from.diffID, Bytes: u.meter.read - read}, nil
}

// inflating is a layer on its way from its source to the unpacker.
type inflating struct {
	source Source
	limits Limits
	pipe   *pipe
	diffID digest.Digest // known at the pipe's end
}

func newInflating(source Source, limits Limits, shared chan block) *inflating {
	return &inflating{source: source, limits: limits, pipe: newPipe(ownBlocks, shared)}
}

func (i *inflating) run(ctx context.Context) {
	i.pipe.end(i.inflate(ctx))
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
	hash := sha256.New()
	if err := i.pipe.fill(ctx, io.TeeReader(plain, hash)); err != nil {
		return err
	}
	i.diffID = digest.NewDigest(digest.SHA256, hash)
	// What follows the archive belongs to what was promised, too, and may be
	// what shows that the promise was not kept.
	_, err = io.Copy(io.Discard, stored)
	return err
}
