// SPDX-License-Identifier: Apache-2.0

package members

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/dovetailhq/plugin/internal/inflate"
)

// Reader inflates the members of a stream on several cores. Where a member's length
// is missing or wrong, it continues on one core, with the bytes and the verdict of
// [inflate.Reader]. It is not safe for concurrent use.
type Reader struct {
	source  *bufio.Reader
	inOrder chan *block
	stop    func() // ends reading ahead
	stopped chan struct{}
	reading sync.WaitGroup
	left    *block // read ahead when stop was called

	unread []byte
	buffer *[BlockBytes + 1]byte // of unread
	rest   io.Reader             // the plain way; nil before
}

// block is a member in flight.
type block struct {
	compressed []byte
	plain      []byte
	buffer     *[BlockBytes + 1]byte // of plain
	done       chan struct{}         // closed when plain is complete
	err        error                 // a reason to take the plain way
}

// Begins reports whether a stream begins with a member of known length.
func Begins(source *bufio.Reader) bool {
	header, _ := source.Peek(headerBytes) // a short header has no length
	return length(header) > 0
}

// NewReader returns a reader with at most the number of members in flight, three or
// more. Each takes 1.1 MiB. It reads source on another goroutine. The
// caller closes the reader. Close waits until a read of source returns.
func NewReader(source *bufio.Reader, inFlight int) *Reader {
	r := &Reader{source: source, inOrder: make(chan *block, inFlight-3), stopped: make(chan struct{})}
	r.stop = sync.OnceFunc(func() { close(r.stopped) })
	r.reading.Go(r.readAhead)
	return r
}

// Close stops the reader. Read must not be called after it.
func (r *Reader) Close() {
	r.stop()
	r.reading.Wait()
}

// readAhead passes members on until one has no length.
func (r *Reader) readAhead() {
	defer close(r.inOrder)
	for {
		b, ok := r.readMember()
		if b == nil {
			return
		}
		select {
		case r.inOrder <- b:
		case <-r.stopped:
			r.left = b
			return
		}
		if !ok {
			return
		}
	}
}

// readMember returns nil if no member with a length follows. ok is false if the
// source has failed.
func (r *Reader) readMember() (b *block, ok bool) {
	header, _ := r.source.Peek(headerBytes) // the plain way returns the error
	n := length(header)
	if n == 0 {
		return nil, false
	}
	b = &block{compressed: make([]byte, n), done: make(chan struct{})}
	got, err := io.ReadFull(r.source, b.compressed)
	if err != nil {
		b.compressed, b.err = b.compressed[:got], err
		close(b.done)
		return b, false
	}
	r.reading.Go(b.inflate)
	return b, true
}

var (
	plains = sync.Pool{New: func() any { return new([BlockBytes + 1]byte) }}

	errTooLong = errors.New("a member is longer than a block")
)

func (b *block) inflate() {
	defer close(b.done)
	reader := inflate.Acquire()
	defer reader.Release()
	b.buffer = plains.Get().(*[BlockBytes + 1]byte)
	n, err := 0, reader.Reset(bytes.NewReader(b.compressed))
	for err == nil && n < len(b.buffer) {
		var more int
		more, err = reader.Read(b.buffer[n:])
		n += more
	}
	switch {
	case err == nil:
		b.err = errTooLong
	case err != io.EOF:
		b.err = err
	default:
		b.plain = b.buffer[:n]
	}
}

// Read returns inflated bytes. Its errors are those of [inflate.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.unread) == 0 && r.rest == nil {
		r.recycle()
		if err := r.nextBlock(); err != nil {
			return 0, err
		}
	}
	if len(r.unread) == 0 {
		return r.rest.Read(p)
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

func (r *Reader) recycle() {
	if r.buffer != nil {
		plains.Put(r.buffer)
		r.buffer = nil
	}
}

// nextBlock makes the next member's bytes unread, or continues the plain way.
func (r *Reader) nextBlock() error {
	b, ok := <-r.inOrder
	if !ok {
		return r.goOn(nil)
	}
	if <-b.done; b.err != nil {
		return r.goOn(b)
	}
	r.unread, r.buffer = b.plain, b.buffer
	return nil
}

// goOn continues the plain way from a member on, or after the last.
func (r *Reader) goOn(from *block) error {
	r.stop()
	var parts []io.Reader
	add := func(b *block) {
		if b != nil {
			parts = append(parts, bytes.NewReader(b.compressed))
		}
	}
	add(from)
	for b := range r.inOrder {
		add(b)
	}
	r.reading.Wait()
	add(r.left)
	rest, err := inflate.NewReader(io.MultiReader(append(parts, r.source)...))
	if err != nil {
		return err
	}
	r.rest = rest
	return nil
}
