// SPDX-License-Identifier: Apache-2.0

package members

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// level is the fastest level that compresses binaries, sources and text within 5 % of
// the standard library's default level.
const level = 6

// Writer compresses a stream on several cores. The stream is the same for any number
// of cores. It is not safe for concurrent use.
type Writer struct {
	sink    io.Writer
	block   []byte        // of BlockBytes of memory
	isBegun bool          // a block was passed on
	members chan *member  // in their order
	written chan struct{} // closed when all members are written

	mu  sync.Mutex
	err error // the first error of sink
}

// member is a block on its way.
type member struct {
	block      []byte
	compressed *bytes.Buffer
	done       chan struct{} // closed when compressed is complete
}

// running bounds the compressors of all writers. Each takes 2 MiB, and no more of
// them run at a time than there are cores.
var running = make(chan struct{}, runtime.NumCPU())

var (
	// A block that can't be compressed takes some bytes more.
	buffers     = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, BlockBytes+4<<10)) }}
	blocks      = sync.Pool{New: func() any { return new([BlockBytes]byte) }}
	compressors = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}}
)

// NewWriter returns a writer to sink that uses at most the number of cores. The
// caller closes it, also after an error.
func NewWriter(sink io.Writer, cores int) *Writer {
	w := &Writer{sink: sink, members: make(chan *member, max(0, cores-1)), written: make(chan struct{})}
	w.begin()
	go w.writeAll(w.members)
	return w
}

// Write compresses p. It returns the sink's first error, perhaps of earlier bytes.
func (w *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), BlockBytes-len(w.block))]
		w.block = append(w.block, part...)
		p, n = p[len(part):], n+len(part)
		if len(w.block) == BlockBytes {
			w.pass()
		}
	}
	return n, w.Err()
}

// Close writes what is left and returns the sink's first error. Further calls do
// nothing.
func (w *Writer) Close() error {
	if w.members != nil {
		if len(w.block) > 0 || !w.isBegun {
			w.pass()
		}
		close(w.members)
		w.members = nil
	}
	<-w.written
	return w.Err()
}

// Err returns the sink's first error.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// begin begins a block.
func (w *Writer) begin() {
	w.block = blocks.Get().(*[BlockBytes]byte)[:0]
}

// pass passes the block on. It waits while all cores are busy.
func (w *Writer) pass() {
	m := &member{block: w.block, done: make(chan struct{})}
	w.isBegun = true
	w.begin()
	go m.compress()
	w.members <- m
}

func (m *member) compress() {
	defer close(m.done)
	running <- struct{}{}
	defer func() { <-running }()
	m.compressed = buffers.Get().(*bytes.Buffer)
	m.compressed.Reset()
	compressor := compressors.Get().(*gzip.Writer)
	defer compressors.Put(compressor)
	compressor.Reset(m.compressed)
	compressor.ModTime = time.Unix(0, 0) // no time
	compressor.Extra = append(bytes.Clone(start[12:]), 0, 0, 0, 0)
	// A buffer returns no errors.
	_, _ = compressor.Write(m.block)
	_ = compressor.Close()
	binary.LittleEndian.PutUint32(m.compressed.Bytes()[lengthAt:], uint32(m.compressed.Len()))
	blocks.Put((*[BlockBytes]byte)(m.block[:BlockBytes]))
}

func (w *Writer) writeAll(members <-chan *member) {
	defer close(w.written)
	for m := range members {
		<-m.done
		w.write(m.compressed.Bytes())
		buffers.Put(m.compressed)
	}
}

// write writes a member, unless an earlier one failed.
func (w *Writer) write(compressed []byte) {
	if w.Err() != nil {
		return
	}
	if _, err := w.sink.Write(compressed); err != nil {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
}
