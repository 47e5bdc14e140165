package rootfs

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how a layer's archive is packed.
type Compression string

// Compressions a layer may have.
const (
	Uncompressed Compression = "none"
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
)

// maxZstdWindowBytes is how far a zstd archive may look back, and with it the
// memory that reading one takes. The highest ordinary level uses 8 MiB.
const maxZstdWindowBytes = 128 << 20

// Decompressor reads what a layer's archive holds. Its Read works on the
// caller's goroutine alone.
type Decompressor struct {
	// Compression is what the first bytes told.
	Compression Compression

	compressed *countingReader
	plain      io.Reader
	close      func()
	limits     Limits
	read       int64 // of what became of the archive
}

// Decompress finds out by its first bytes how source is compressed. An archive
// that is damaged, or expands beyond limits.CompressionRatio, makes Read fail with a typed
// error; an error of source comes out as it is. The caller closes the
// decompressor, and the source.
func Decompress(source io.Reader, limits Limits) (*Decompressor, error) {
	counted := &countingReader{source: source}
	buffered := bufio.NewReaderSize(counted, pumpBlockBytes)
	d := &Decompressor{compressed: counted, close: func() {}, limits: limits.withDefaults()}
	start, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch d.Compression = detect(start); d.Compression {
	case Gzip:
		plain, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, d.explain(err)
		}
		d.plain = plain
	case Zstd:
		// One goroutine: the caller's. The layers of a plugin are inflated
		// beside each other instead.
		plain, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindowBytes))
		if err != nil {
			return nil, d.explain(err)
		}
		d.plain, d.close = plain, plain.Close
	default:
		d.plain = buffered
	}
	return d, nil
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

// expands tells an archive that becomes more than its bytes account for.
func (d *Decompressor) expands() bool {
	return d.read > d.limits.UnpackedBytes/ratioFloorShare && d.read/d.limits.CompressionRatio > d.compressed.read
}

// Close releases the decoder's memory.
func (d *Decompressor) Close() {
	d.close()
}

// explain tells the source's errors from the decoder's.
func (d *Decompressor) explain(err error) error {
	if d.compressed.err != nil {
		return d.compressed.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return formatError(err)
}

func detect(start []byte) Compression {
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b, 0x08}):
		return Gzip
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(start) == 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:], []byte{0x2a, 0x4d, 0x18}):
		// A skippable frame, RFC 8878 section 3.1.2; an archive can't begin
		// so, for its first bytes are a name.
		return Zstd
	}
	return Uncompressed
}

// countingReader remembers what it read and how that ended.
type countingReader struct {
	source io.Reader
	read   int64
	err    error
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.read += int64(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
