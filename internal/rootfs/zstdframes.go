// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// errLargeWindow is why zstdFrames ended before a frame.
var errLargeWindow = errors.New("a frame has a larger window")

// zstdFrames passes the frames of a zstd stream on, and ends before a frame with a
// larger window than window. It follows the lengths of frames and blocks, see
// https://www.rfc-editor.org/rfc/rfc8878#section-3.1. Bytes that it does not
// understand pass as they are, because the decoder has an error for them.
type zstdFrames struct {
	source *bufio.Reader
	window int64
	err    error // why Read returned io.EOF, if not at the end of source

	left     int64 // bytes of the part in progress
	inFrame  bool  // blocks follow the part
	checksum int64 // bytes after the last block
	opaque   bool  // the rest passes as it is
	failed   error // an error of source that a look ahead has met
}

func (f *zstdFrames) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, io.EOF
	}
	for f.left == 0 && !f.opaque {
		if err := f.next(); err != nil {
			f.err = err
			return 0, io.EOF
		}
	}
	if f.opaque {
		if f.source.Buffered() == 0 && f.failed != nil {
			return 0, f.failed
		}
		return f.source.Read(p)
	}
	n, err := f.source.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// next begins the next part: a frame's header, a block, or a skippable frame. An
// error is why the stream ends before it.
func (f *zstdFrames) next() error {
	if f.inFrame {
		f.nextBlock()
		return nil
	}
	start := f.peek(zstd.HeaderMaxSize)
	var header zstd.Header
	if header.Decode(start) != nil {
		f.opaque = true
		return nil
	}
	switch window := windowOf(header); {
	case window > maxZstdWindowBytes:
		return &windowError{window}
	case int64(window) > f.window:
		return errLargeWindow
	}
	f.left = int64(header.HeaderSize)
	if header.Skippable {
		f.left += int64(header.SkippableSize)
		return nil
	}
	f.inFrame, f.checksum = true, 0
	if header.HasCheckSum {
		f.checksum = 4
	}
	return nil
}

func (f *zstdFrames) nextBlock() {
	const headerBytes, runLength = 3, 1
	start := f.peek(headerBytes)
	if len(start) < headerBytes {
		f.opaque = true
		return
	}
	header := uint32(start[0]) | uint32(start[1])<<8 | uint32(start[2])<<16
	size := int64(header >> 3)
	if header>>1&3 == runLength {
		size = 1
	}
	f.left = headerBytes + size
	if last := header&1 != 0; last {
		f.left += f.checksum
		f.inFrame = false
	}
}

// peek returns the next bytes of source, fewer at its end or at an error.
func (f *zstdFrames) peek(n int) []byte {
	start, err := f.source.Peek(n)
	if err != nil && err != io.EOF {
		f.failed = err
	}
	return start
}
