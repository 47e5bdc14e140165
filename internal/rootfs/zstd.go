// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxZstdWindowBytes is the largest window that a zstd archive may have. It
	// bounds the memory of a decoder.
	maxZstdWindowBytes = 128 << 20
	// ordinaryWindowBytes is the largest window of zstd's ordinary levels. All
	// decoders should support it:
	// https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2
	ordinaryWindowBytes = 8 << 20
)

// zstdReader decodes frames with a decoder for their windows: an ordinary one until
// a frame has a large window, and from then on one for all windows.
type zstdReader struct {
	ctx     context.Context // of waits for memory
	budget  *Budget
	turn    <-chan struct{}
	arrived func(context.Context) error // waits until the whole archive is here; may be nil
	frames  *zstdFrames
	decoder *zstd.Decoder
	close   func() // gives the decoder and its window back
	failed  error  // why there is no decoder
}

// waitError is why memory was not taken. The archive is not to blame.
type waitError struct{ error }

// newZstdReader returns a reader with a decoder for the first frame. The caller closes
// it, also after an error.
func newZstdReader(ctx context.Context, source *bufio.Reader, budget *Budget, turn <-chan struct{}, arrived func(context.Context) error) (*zstdReader, error) {
	z := &zstdReader{ctx: ctx, budget: budget, turn: turn, arrived: arrived, frames: &zstdFrames{source: source}, close: func() {}}
	start, _ := source.Peek(zstd.HeaderMaxSize) // a read returns the error
	z.frames.window = windowClass(firstWindow(start))
	z.failed = z.take(z.frames.window)
	return z, z.failed
}

// take takes the memory for a window and a decoder for it. Other archives wait for a
// large window, and a sender decides how long the archive takes to arrive: the wait
// for that comes first.
func (z *zstdReader) take(window int64) error {
	if window > ordinaryWindowBytes && z.arrived != nil {
		if err := z.arrived(z.ctx); err != nil {
			return &waitError{err}
		}
	}
	release, err := z.budget.window(z.ctx, window, z.turn)
	if err != nil {
		return &waitError{err}
	}
	decoder, recycle := z.budget.decoder(window)
	z.decoder = decoder
	z.close = func() {
		recycle()
		release()
	}
	return decoder.Reset(z.frames)
}

func (z *zstdReader) Read(p []byte) (int, error) {
	for z.failed == nil {
		n, err := z.decoder.Read(p)
		if err != io.EOF || z.frames.err != errLargeWindow {
			return n, z.explain(err)
		}
		if n > 0 {
			return n, nil
		}
		z.Close()
		z.frames.window, z.frames.err = maxZstdWindowBytes, nil
		z.failed = z.take(maxZstdWindowBytes)
	}
	return 0, z.failed
}

// explain returns why the frames ended, instead of the decoder's error.
func (z *zstdReader) explain(err error) error {
	var large *windowError
	if err != nil && errors.As(z.frames.err, &large) {
		return large
	}
	return err
}

// Close gives memory back.
func (z *zstdReader) Close() {
	z.close()
	z.close = func() {}
}

// firstWindow returns the window of a frame that begins with start, or 0.
func firstWindow(start []byte) uint64 {
	var header zstd.Header
	if err := header.Decode(start); err != nil {
		return 0
	}
	return windowOf(header)
}

// windowOf returns the window that a frame needs, see
// https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2.
func windowOf(header zstd.Header) uint64 {
	if header.SingleSegment {
		return header.FrameContentSize
	}
	return header.WindowSize // 0 of a skippable frame
}

// windowClass returns the window to reserve.
func windowClass(window uint64) int64 {
	if window <= ordinaryWindowBytes {
		return ordinaryWindowBytes
	}
	return maxZstdWindowBytes
}

// windowError reports a frame with a window that is too large.
type windowError struct{ window uint64 }

func (e *windowError) Error() string {
	return fmt.Sprintf("a zstd frame has a window of %d bytes, at most %d are supported: compress with --long=27 or less", e.window, maxZstdWindowBytes)
}

func (*windowError) Unwrap() error { return zstd.ErrWindowSizeExceeded }

func newZstdDecoder(window int64) *zstd.Decoder {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		panic(err) // the options are constants
	}
	return decoder
}
