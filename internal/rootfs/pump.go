package rootfs

import (
	"context"
	"fmt"
	"io"
)

const (
	pumpBlocks     = 16
	pumpBlockBytes = 128 << 10
)

// pump reads source on the caller's goroutine while consume, on a goroutine of
// its own, takes what was read; at most 2 MiB lie between them. It returns
// once consume has: with consume's error, or the source's, or ctx's, whichever
// came first. Only source.Read can keep it waiting after ctx has ended.
func pump(ctx context.Context, source io.Reader, consume func(io.Reader) error) error {
	p := newPipe()
	consumed := make(chan error, 1)
	go func() {
		err := consume(p)
		close(p.stopped)
		consumed <- err
	}()
	readErr := p.fill(ctx, source)
	err := <-consumed
	if readErr != nil {
		return fmt.Errorf("read archive: %w", readErr)
	}
	return err
}

// pipe hands blocks from one goroutine to another and back.
type pipe struct {
	full    chan []byte   // read from the source, not yet consumed
	empty   chan []byte   // to be used again
	stopped chan struct{} // closed when nothing more will be consumed
	err     error         // why full was closed; io.EOF at the source's end

	block  []byte // the block being consumed
	unread []byte // what is left of it
}

func newPipe() *pipe {
	p := &pipe{
		full:    make(chan []byte, pumpBlocks),
		empty:   make(chan []byte, pumpBlocks),
		stopped: make(chan struct{}),
	}
	for range pumpBlocks {
		p.empty <- nil
	}
	return p
}

// fill reads source to its end. It returns nil when the source ended or the
// consumer stopped.
func (p *pipe) fill(ctx context.Context, source io.Reader) error {
	defer close(p.full)
	for {
		select {
		case <-ctx.Done():
			p.err = ctx.Err()
			return p.err
		case <-p.stopped:
			return nil
		case block := <-p.empty:
			if block == nil {
				block = make([]byte, pumpBlockBytes)
			}
			n, err := source.Read(block[:pumpBlockBytes])
			p.full <- block[:n]
			if err == io.EOF {
				p.err = io.EOF
				return nil
			}
			if err != nil {
				p.err = err
				return err
			}
		}
	}
}

// Read is the consumer's side.
func (p *pipe) Read(b []byte) (int, error) {
	for len(p.unread) == 0 {
		if p.block != nil {
			p.empty <- p.block
			p.block = nil
		}
		block, ok := <-p.full
		if !ok {
			return 0, p.err
		}
		p.block, p.unread = block, block
	}
	n := copy(b, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}
