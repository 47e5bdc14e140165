package rootfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

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

const (
	// maxZstdWindowBytes is how far a zstd archive may look back, and with it the
	// memory that reading one takes.
	maxZstdWindowBytes = 128 << 20
	// ordinaryWindowBytes is how far an archive looks back unless it was asked
	// to look farther. RFC 8878, section 3.1.1.1.2, recommends that decoders
	// support it.
	ordinaryWindowBytes = 8 << 20
)

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
//
// It waits for memory, no longer than ctx, while other archives look back so far
// that limits.Budget is used up.
func Decompress(ctx context.Context, source io.Reader, limits Limits) (*Decompressor, error) {
	return decompress(ctx, source, limits, itsTurn)
}

// decompress is Decompress of a layer, whose turn to be unpacked comes.
func decompress(ctx context.Context, source io.Reader, limits Limits, turn <-chan struct{}) (*Decompressor, error) {
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
		if err := d.openZstd(ctx, buffered, turn); err != nil {
			return nil, err
		}
	default:
		d.plain = buffered
	}
	return d, nil
}

// openZstd reads with one goroutine, the caller's: the layers of a plugin are
// inflated next to each other instead.
func (d *Decompressor) openZstd(ctx context.Context, buffered *bufio.Reader, turn <-chan struct{}) error {
	window := zstdWindow(buffered)
	release, err := d.limits.Budget.window(ctx, window, turn)
	if err != nil {
		return err
	}
	plain, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		release()
		return d.explain(err)
	}
	d.plain = plain
	d.close = sync.OnceFunc(func() {
		plain.Close()
		release()
	})
	return nil
}

// zstdWindow is how far an archive may look back that begins as its first frame
// says: each of the frames may say so for itself, but has no reason to.
func zstdWindow(buffered *bufio.Reader) int64 {
	start, _ := buffered.Peek(zstd.HeaderMaxSize)
	var first zstd.Header
	if err := first.Decode(start); err != nil || first.Skippable {
		return maxZstdWindowBytes
	}
	window := first.WindowSize
	if first.SingleSegment {
		window = first.FrameContentSize
	}
	if window <= ordinaryWindowBytes {
		return ordinaryWindowBytes
	}
	return maxZstdWindowBytes
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
	return d.read > d.limits.UnpackedBytes/ratioFloorShare && d.read/d.limits.CompressionRatio > d.stored()
}

// stored returns how many compressed bytes were read.
func (d *Decompressor) stored() int64 { return d.compressed.read.Load() }

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
