// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// Compression is how a layer's archive is compressed.
type Compression string

// The compressions of layers.
const (
	Uncompressed Compression = "none"
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
)

// readBuffers holds the buffers of compressed archives for reuse.
var readBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, pumpBlockBytes) }}

// Decompressor reads the uncompressed bytes of a layer's archive. Read of what
// [Decompress] returns does all its work on the caller's goroutine.
type Decompressor struct {
	// Compression was detected from the first bytes.
	Compression Compression

	compressed *countingReader
	plain      io.Reader
	close      func()
	limits     Limits
	read       int64 // uncompressed bytes
}

// Decompress detects from its first bytes how source is compressed. Read fails
// with a [FormatError] if the archive is damaged, and with a [LimitError] if it
// expands beyond limits.CompressionRatio; it returns errors of source unchanged.
// The caller closes the decompressor and the source.
//
// Decompress is for build contexts: a zstd archive with a window of more than 8 MiB
// waits while another one of limits.Budget is read. It stops waiting when ctx ends.
func Decompress(ctx context.Context, source io.Reader, limits Limits) (*Decompressor, error) {
	return decompress(ctx, source, limits, layerState{}, 1)
}

// decompress is Decompress of a layer that may be ahead of its turn, on several cores
// where the layer allows it. With more than one core, source is read on another
// goroutine, and Close waits until a read of source returns.
func decompress(ctx context.Context, source io.Reader, limits Limits, layer layerState, cores int) (*Decompressor, error) {
	buffered := readBuffers.Get().(*bufio.Reader)
	d := &Decompressor{
		compressed: &countingReader{source: source},
		close:      func() { readBuffers.Put(buffered) },
		limits:     limits.withDefaults(),
	}
	buffered.Reset(d.compressed)
	if err := d.open(ctx, buffered, layer, cores); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// layerState is what a decoder with a large window waits for. The zero value is that
// of a build context.
type layerState struct {
	turn    <-chan struct{}             // closed once all earlier layers are unpacked
	arrived func(context.Context) error // waits until the whole layer is here
}

func (d *Decompressor) open(ctx context.Context, buffered *bufio.Reader, layer layerState, cores int) error {
	start, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	switch d.Compression = detect(start); d.Compression {
	case Gzip:
		return d.openGzip(buffered, cores)
	case Zstd:
		return d.openZstd(ctx, buffered, layer)
	default:
		d.plain = buffered
	}
	return nil
}

func (d *Decompressor) openGzip(buffered *bufio.Reader, cores int) error {
	plain, recycle, err := newGzipReader(buffered, d.limits.Budget, cores)
	d.onClose(recycle)
	if err != nil {
		return d.explain(err)
	}
	d.plain = plain
	return nil
}

// openZstd decodes on the caller's goroutine alone: the concurrency comes from
// inflating several layers at once.
func (d *Decompressor) openZstd(ctx context.Context, buffered *bufio.Reader, layer layerState) error {
	plain, err := newZstdReader(ctx, buffered, d.limits.Budget, layer.turn, layer.arrived)
	d.onClose(plain.Close)
	if err != nil {
		return d.explain(err)
	}
	d.plain = plain
	return nil
}

// Read reads uncompressed bytes.
func (d *Decompressor) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	d.read += int64(n)
	if d.expands() {
		return n, &LimitError{Limit: "CompressionRatio", Max: d.limits.CompressionRatio}
	}
	if err != nil && err != io.EOF {
		return n, d.explain(err)
	}
	return n, err
}

// expands reports whether the archive exceeds limits.CompressionRatio.
func (d *Decompressor) expands() bool {
	return d.read > d.limits.UnpackedBytes/ratioFloorShare && d.read/d.limits.CompressionRatio > d.stored()
}

// stored returns how many compressed bytes were read.
func (d *Decompressor) stored() int64 { return d.compressed.read.Load() }

// Close releases the decoder's memory, also that of a Decompressor that stays
// referenced. Read fails after it.
func (d *Decompressor) Close() {
	d.close()
	d.close, d.plain = func() {}, closedReader{}
}

// onClose runs release before what Close does already.
func (d *Decompressor) onClose(release func()) {
	rest := d.close
	d.close = func() {
		release()
		rest()
	}
}

type closedReader struct{}

func (closedReader) Read([]byte) (int, error) { return 0, os.ErrClosed }

// explain returns the source's error, if there is one, instead of the decoder's.
func (d *Decompressor) explain(err error) error {
	if d.compressed.err != nil {
		return d.compressed.err
	}
	var wait *waitError
	if errors.As(err, &wait) {
		return wait.error
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return formatError(err)
}

// DetectCompression reads the first bytes of a layer.
func DetectCompression(layer io.Reader) (Compression, error) {
	start := make([]byte, 4)
	n, err := io.ReadFull(layer, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	return detect(start[:n]), nil
}

func detect(start []byte) Compression {
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b, 0x08}):
		return Gzip
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(start) == 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:], []byte{0x2a, 0x4d, 0x18}):
		// A skippable frame. An uncompressed archive does not begin like this,
		// because it begins with a name.
		// https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2
		return Zstd
	}
	return Uncompressed
}

// countingReader counts the bytes it reads and keeps the source's error.
type countingReader struct {
	source io.Reader
	read   atomic.Int64
	err    error
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.read.Add(int64(n))
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
