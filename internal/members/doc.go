// SPDX-License-Identifier: Apache-2.0

// Package members writes and reads gzip streams on several cores. Such a stream
// consists of members that inflate to [BlockBytes] each. A member has its own length
// in the extra field of its header, as in [BGZF] and [RFC 1952, section 2.3.1.1], so
// that a reader finds the next member without inflating. Every gzip reader reads the
// stream: it ignores the field.
//
// [BGZF]: https://samtools.github.io/hts-specs/SAMv1.pdf
// [RFC 1952, section 2.3.1.1]: https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1.1
package members

import (
	"bytes"
	"encoding/binary"
)

const (
	// BlockBytes is what a member inflates to; the last member can be shorter. The
	// bytes of a stream depend on it, and on nothing that differs between hosts.
	BlockBytes = 512 << 10
	// maxMemberBytes bounds a member. Deflate stores what it can't compress.
	maxMemberBytes = BlockBytes + 64<<10

	headerBytes = 20
	lengthAt    = 16
)

// start is the header of a member up to its length: gzip, deflate, an extra field, no
// time, no hints; the field has 8 bytes: its ID "DV", and 4 bytes of length.
var start = []byte{0x1f, 0x8b, 8, 1 << 2, 0, 0, 0, 0, 0, 255, 8, 0, 'D', 'V', 4, 0}

// length returns the length of the member with the header, or zero if it has none.
func length(header []byte) int {
	if len(header) < headerBytes || !bytes.HasPrefix(header, start) {
		return 0
	}
	n := binary.LittleEndian.Uint32(header[lengthAt:])
	if n <= headerBytes || n > maxMemberBytes {
		return 0
	}
	return int(n)
}
