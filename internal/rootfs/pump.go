// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"fmt"
	"hash"
	"io"
	"sync"
)

const (
	pumpBlocks     = 16
	pumpBlockBytes = 128 << 10
	// splitBlocks are fewer, because a build's blocks are not taken from the Budget.
	splitBlocks = 4
)

// pump reads source on the caller's goroutine while consume runs on a second
// one and reads at most 512 KiB behind. If hash is not nil, it receives all bytes
// before consume does. pump returns after consume has returned, with the error
// of consume, of source or of ctx, whichever came first. After the end of ctx,
// only source.Read can delay it.
func pump(ctx context.Context, source io.Reader, hash hash.Hash, consume func(io.Reader) error) error {
	p := newPipe(hash)
	p.empty = blocks(splitBlocks)
	consumed := make(chan error, 1)
	go func() {
		err := consume(p)
		close(p.stopped)
		consumed <- err
	}()
	readErr := p.run(func() error { return p.fill(ctx, source) })
	err := <-consumed
	if readErr != nil {
		return fmt.Errorf("read archive: %w", readErr)
	}
	return err
}

// pipe passes blocks from a producer to a consumer and back:
//
//	empty → fill → filled → hashAll → full → Read → empty
//
// Hashing has its own goroutine, because it would slow down both the producer,
// which inflates, and the consumer, which writes files. Without a hash, filled
// and full are the same channel.
type pipe struct {
	hash    hash.Hash     // may be nil
	filled  chan block    // not yet hashed
	full    chan block    // hashed, not yet consumed
	empty   chan block    // set before run, at most pumpBlocks
	stopped chan struct{} // closed when the consumer has stopped
	err     error         // why filled was closed; io.EOF at the source's end

	block  block  // the block being consumed
	unread []byte // the unread part of block
	failed error  // the error that Read returned, unless it was io.EOF
}

// block is a buffer and the channel to which it returns when it is empty.
type block struct {
	memory *[pumpBlockBytes]byte // nil while the block is empty
	bytes  []byte                // the content
	home   chan block
}

// blockMemory holds the memory of empty blocks for reuse.
var blockMemory = sync.Pool{New: func() any { return new([pumpBlockBytes]byte) }}

// release returns a block to its channel.
func (b block) release() {
	if b.home != nil {
		blockMemory.Put(b.memory)
		b.home <- block{home: b.home}
	}
}

// blocks returns n empty blocks. Their memory is allocated when they are filled.
func blocks(n int) chan block {
	all := make(chan block, n)
	for range n {
		all <- block{home: all}
	}
	return all
}

func newPipe(hash hash.Hash) *pipe {
	p := &pipe{hash: hash, full: make(chan block, pumpBlocks), stopped: make(chan struct{})}
	p.filled = p.full
	if hash != nil {
		p.filled = make(chan block, pumpBlocks)
	}
	return p
}

// run runs fill, and hashes concurrently. It passes the error of fill to the
// consumer and returns it.
func (p *pipe) run(fill func() error) error {
	var hashing sync.WaitGroup
	if p.hash != nil {
		hashing.Go(p.hashAll)
	}
	err := fill()
	p.closeFilled(err)
	hashing.Wait()
	return err
}

func (p *pipe) hashAll() {
	for b := range p.filled {
		p.hash.Write(b.bytes)
		p.full <- b
	}
	close(p.full)
}

// fill reads source to its end. It returns nil when the source ended or the
// consumer stopped.
func (p *pipe) fill(ctx context.Context, source io.Reader) error {
	for {
		b, ok := p.emptyBlock(ctx)
		if !ok {
			return context.Cause(ctx)
		}
		b.memory = blockMemory.Get().(*[pumpBlockBytes]byte)
		n, err := readBlock(ctx, source, b.memory[:])
		b.bytes = b.memory[:n]
		p.filled <- b
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readBlock reads until the block is full, because decoders return few bytes at
// a time.
func readBlock(ctx context.Context, source io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil && ctx.Err() == nil {
		var more int
		more, err = source.Read(block[n:])
		n += more
	}
	return n, err
}

// emptyBlock waits for an empty block. It returns false when ctx ends or the
// consumer stops.
func (p *pipe) emptyBlock(ctx context.Context) (block, bool) {
	if ctx.Err() != nil {
		return block{}, false
	}
	select {
	case b := <-p.empty:
		return b, true
	case <-p.stopped:
		return block{}, false
	case <-ctx.Done():
		return block{}, false
	}
}

// closeFilled ends the stream. Read returns err after the last block, or io.EOF
// if err is nil.
func (p *pipe) closeFilled(err error) {
	if p.err = err; err == nil {
		p.err = io.EOF
	}
	close(p.filled)
}

// Read reads the bytes that the producer filled in. Only the consumer calls it.
func (p *pipe) Read(data []byte) (int, error) {
	for len(p.unread) == 0 {
		p.releaseBlock()
		b, ok := <-p.full
		if !ok {
			if p.err != io.EOF {
				p.failed = p.err
			}
			return 0, p.err
		}
		p.block, p.unread = b, b.bytes
	}
	n := copy(data, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}

func (p *pipe) releaseBlock() {
	p.block.release()
	p.block, p.unread = block{}, nil
}

// discard releases the blocks that were not consumed. The caller calls it after
// both the producer and the consumer have ended.
func (p *pipe) discard() {
	p.releaseBlock()
	for b := range p.full {
		b.release()
	}
}
