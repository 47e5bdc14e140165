// SPDX-License-Identifier: Apache-2.0

package inflate

import "io"

const (
	inputBytes = 64 << 10
	// loadBytes must follow the position of a fast refill: two loads of 8 bytes.
	loadBytes = 16
	// maxEmptyReads is the number of reads without progress after which the source
	// counts as broken, as in bufio.
	maxEmptyReads = 100
)

// bitReader reads the bits of a source. Bits are taken from the lowest of buffer.
type bitReader struct {
	source io.Reader
	input  []byte // inputBytes
	pos    int    // the first byte of input that is not in buffer
	end    int    // the end of the bytes in input
	err    error  // why source has ended; nil before

	buffer uint64
	count  uint // the bits in buffer; higher ones are zero between calls

	taken int64 // bytes of input that were shifted out of it
}

func (r *bitReader) reset(source io.Reader) {
	input := r.input
	if input == nil {
		input = make([]byte, inputBytes)
	}
	*r = bitReader{source: source, input: input}
}

// fill reads more of the source. It adds nothing only if the source has ended; then
// err is set.
func (r *bitReader) fill() {
	if r.err != nil {
		return
	}
	r.taken += int64(r.pos)
	r.end = copy(r.input, r.input[r.pos:r.end])
	r.pos = 0
	for range maxEmptyReads {
		n, err := r.source.Read(r.input[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// want puts at least n bits into the buffer, n at most 56, or all that are left.
func (r *bitReader) want(n uint) {
	for r.count < n {
		if r.pos == r.end {
			if r.fill(); r.pos == r.end {
				return
			}
		}
		r.buffer |= uint64(r.input[r.pos]) << r.count
		r.pos++
		r.count += 8
	}
}

// take returns the next n bits, n at most 32.
func (r *bitReader) take(n uint) (uint32, error) {
	if r.want(n); r.count < n {
		return 0, r.ended()
	}
	value := r.buffer & (1<<n - 1)
	r.drop(n)
	return uint32(value), nil
}

func (r *bitReader) drop(n uint) {
	r.buffer >>= n
	r.count -= n
}

// align drops the bits up to the next byte.
func (r *bitReader) align() { r.drop(r.count & 7) }

// isAtEnd reports whether the source has ended in front of another byte. Only an
// error that is not io.EOF is returned.
func (r *bitReader) isAtEnd() (bool, error) {
	if r.want(8); r.count >= 8 {
		return false, nil
	}
	if r.err != io.EOF {
		return false, r.err
	}
	return true, nil
}

// ended returns the error of a source that has ended too early.
func (r *bitReader) ended() error {
	if r.err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return r.err
}

// offset returns the position in the source of the next byte.
func (r *bitReader) offset() int64 { return r.taken + int64(r.pos) - int64(r.count/8) }

// copyTo takes whole bytes. The reader must be at the beginning of a byte.
func (r *bitReader) copyTo(p []byte) (n int, err error) {
	for n < len(p) && r.count > 0 {
		p[n] = byte(r.buffer)
		r.drop(8)
		n++
	}
	for n < len(p) {
		if r.pos == r.end {
			if r.fill(); r.pos == r.end {
				return n, r.ended()
			}
		}
		copied := copy(p[n:], r.input[r.pos:r.end])
		n, r.pos = n+copied, r.pos+copied
	}
	return n, nil
}
