// SPDX-License-Identifier: Apache-2.0

package inflate

import (
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
)

// Flags of https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1; those that are
// reserved there are ignored, as in compress/gzip.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4

	// maxTextBytes bounds a name or a comment with its zero, as in compress/gzip.
	maxTextBytes = 512
)

// header reads the header of a member. Only the checksum of its fields is used.
type header struct {
	source *bitReader
	digest uint32
}

func (h *header) read() error {
	var start [10]byte
	if err := h.next(start[:]); err != nil {
		return err
	}
	if start[0] != 0x1f || start[1] != 0x8b || start[2] != 8 {
		return gzip.ErrHeader
	}
	flags := start[3]
	if flags&flagExtra != 0 {
		if err := h.skipExtra(); err != nil {
			return err
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		if err := h.skipText(); err != nil {
			return err
		}
	}
	if flags&flagHeaderCRC != 0 {
		return h.check()
	}
	return nil
}

func (h *header) next(p []byte) error {
	_, err := h.source.copyTo(p)
	h.digest = crc32.Update(h.digest, crc32.IEEETable, p)
	return err
}

func (h *header) skipExtra() error {
	var length [2]byte
	if err := h.next(length[:]); err != nil {
		return err
	}
	return h.next(make([]byte, binary.LittleEndian.Uint16(length[:])))
}

func (h *header) skipText() error {
	var c [1]byte
	for range maxTextBytes {
		if err := h.next(c[:]); err != nil || c[0] == 0 {
			return err
		}
	}
	return gzip.ErrHeader
}

func (h *header) check() error {
	want := uint16(h.digest)
	var digest [2]byte
	if err := h.next(digest[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint16(digest[:]) != want {
		return gzip.ErrHeader
	}
	return nil
}
