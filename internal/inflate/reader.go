// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"
)

// Reader inflates a gzip stream, with all its members. It takes about 200 KiB of
// memory, whatever the stream. It reads ahead of what it returns. It is not safe for
// concurrent use.
type Reader struct {
	decoder decoder
	output  []byte // decoded, not read yet
	err     error  // after output

	digest uint32 // of the member
	size   uint32 // of the member
}

// NewReader reads the header of the first member.
//
// Errors, of Read as well: [gzip.ErrHeader], [gzip.ErrChecksum],
// [compress/flate.CorruptInputError], [io.ErrUnexpectedEOF], and those of source. The
// error for an empty source is [io.EOF].
func NewReader(source io.Reader) (*Reader, error) {
	r := &Reader{}
	return r, r.Reset(source)
}

var readers = sync.Pool{New: func() any { return new(Reader) }}

// Acquire returns a reader that is not in use; the caller resets it. Release it when
// nothing reads it any more.
func Acquire() *Reader { return readers.Get().(*Reader) }

// Release keeps the reader's memory for the next Acquire.
func (r *Reader) Release() { readers.Put(r) }

// Reset makes r equal to a new reader of source, and reuses its memory.
func (r *Reader) Reset(source io.Reader) error {
	r.decoder.bitReader.reset(source)
	r.output, r.err = nil, nil
	r.err = r.beginMember()
	return r.err
}

// Read returns inflated bytes. It can return bytes of a member before it finds that
// the member's checksum is wrong.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.output) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.more()
	}
	n := copy(p, r.output)
	r.output = r.output[n:]
	return n, nil
}

// more decodes a part of a member, and after its last part the next header.
func (r *Reader) more() {
	r.output, r.err = r.decoder.more()
	r.digest = crc32.Update(r.digest, crc32.IEEETable, r.output)
	r.size += uint32(len(r.output))
	if r.err == nil && r.decoder.step == nil {
		r.err = r.endMember()
	}
}

// endMember checks what https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1 calls
// CRC32 and ISIZE, and begins the next member. It returns io.EOF if there is none.
func (r *Reader) endMember() error {
	r.decoder.align()
	var trailer [8]byte
	if _, err := r.decoder.copyTo(trailer[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(trailer[:]) != r.digest || binary.LittleEndian.Uint32(trailer[4:]) != r.size {
		return gzip.ErrChecksum
	}
	return r.beginMember()
}

func (r *Reader) beginMember() error {
	if isEnd, err := r.decoder.isAtEnd(); err != nil || isEnd {
		if isEnd {
			return io.EOF
		}
		return err
	}
	if err := (&header{source: &r.decoder.bitReader}).read(); err != nil {
		return err
	}
	r.digest, r.size = 0, 0
	r.decoder.reset()
	return nil
}
