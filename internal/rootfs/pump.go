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
)

// pump reads source on the caller's goroutine while consume, on a goroutine of
// its own, takes what was read; at most 2 MiB lie between them. Hash, unless it
// is nil, gets all that consume gets, and before it. Pump returns once consume
// has: with consume's error, or the source's, or ctx's, whichever came first.
// Only source.Read can keep it waiting after ctx has ended.
func pump(ctx context.Context, source io.Reader, hash hash.Hash, consume func(io.Reader) error) error {
	p := newPipe(nil, hash)
	p.own <- blocks(pumpBlocks)
	consumed := make(chan error, 1)
	go func() {
		err := consume(p)
		close(p.stopped)
		consumed <- err
	}()
	readErr := p.carry(func() error { return p.fill(ctx, source) })
	err := <-consumed
	if readErr != nil {
		return fmt.Errorf("read archive: %w", readErr)
	}
	return err
}

// pipe hands blocks from one goroutine to another and back. In between they are
// hashed on a third, for neither who inflates nor who writes small files has
// time for that.
type pipe struct {
	hash    hash.Hash       // nil when nobody wants one
	filled  chan block      // not yet hashed
	full    chan block      // hashed, not yet consumed
	shared  chan block      // empty ones that any of several pipes may fill; may be nil
	own     chan chan block // gets empty ones for this pipe alone
	empty   chan block      // what own got; nil until then
	stopped chan struct{}   // closed when nothing more will be consumed
	err     error           // why filled was closed; io.EOF at the source's end

	block  block  // being consumed
	unread []byte // what is left of it
	failed error  // that the consumer was told of, other than io.EOF
}

// block is a buffer, and the channel that it goes back to.
type block struct {
	memory *[pumpBlockBytes]byte // nil while it is empty
	bytes  []byte                // what is in it
	home   chan block
}

// blockMemory keeps what empty blocks had for those that are filled next.
var blockMemory = sync.Pool{New: func() any { return new([pumpBlockBytes]byte) }}

// empty gives a block back.
func (b block) empty() {
	if b.home != nil {
		blockMemory.Put(b.memory)
		b.home <- block{home: b.home}
	}
}

// blocks returns empty blocks, whose memory is taken as they are filled.
func blocks(n int) chan block {
	all := make(chan block, n)
	for range n {
		all <- block{home: all}
	}
	return all
}

func newPipe(shared chan block, hash hash.Hash) *pipe {
	p := &pipe{
		hash:    hash,
		full:    make(chan block, pumpBlocks+cap(shared)),
		shared:  shared,
		own:     make(chan chan block, 1),
		stopped: make(chan struct{}),
	}
	p.filled = p.full
	if hash != nil {
		p.filled = make(chan block, cap(p.full))
	}
	return p
}

// carry runs fill, beside what comes after it, tells the consumer how it ended,
// and returns that.
func (p *pipe) carry(fill func() error) error {
	var hashing sync.WaitGroup
	if p.hash != nil {
		hashing.Go(p.hashAll)
	}
	err := fill()
	p.end(err)
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
		b, ok := p.take(ctx)
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

// readBlock reads until the block is full, for decoders give little at a time.
func readBlock(ctx context.Context, source io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil && ctx.Err() == nil {
		var more int
		more, err = source.Read(block[n:])
		n += more
	}
	return n, err
}

// take waits for an empty block. It fails when ctx ends or the consumer stops.
func (p *pipe) take(ctx context.Context) (block, bool) {
	if ctx.Err() != nil {
		return block{}, false
	}
	for {
		select {
		case p.empty = <-p.own:
		case b := <-p.empty:
			return b, true
		case b := <-p.shared:
			return b, true
		case <-p.stopped:
			return block{}, false
		case <-ctx.Done():
			return block{}, false
		}
	}
}

// end tells the consumer that the source ended, for a reason if err is not
// nil.
func (p *pipe) end(err error) {
	if p.err = err; err == nil {
		p.err = io.EOF
	}
	close(p.filled)
}

// Read is the consumer's side.
func (p *pipe) Read(data []byte) (int, error) {
	for len(p.unread) == 0 {
		p.giveBack()
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

func (p *pipe) giveBack() {
	p.block.empty()
	p.block, p.unread = block{}, nil
}

// discard gives back what was not consumed. It is for when fill has ended, and
// the consumer.
func (p *pipe) discard() {
	p.giveBack()
	for b := range p.full {
		b.empty()
	}
}
