// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"encoding/binary"
	"math"
	"time"
)

// directoryTimes keeps the times of a layer's directories until their content
// is unpacked. To save memory it stores only the part of each name that differs
// from the previous name. The zero value is ready to use.
type directoryTimes struct {
	chunks [][]byte
	last   string
}

// entryTimes are an entry's times in nanoseconds since 1970.
type entryTimes struct{ accessed, modified int64 }

const timesChunkBytes = 64 << 10

// add stores the times of a directory and returns how many bytes they take.
func (t *directoryTimes) add(name string, times entryTimes) (bytes int64) {
	shared := 0
	for shared < min(len(name), len(t.last)) && name[shared] == t.last[shared] {
		shared++
	}
	record := binary.AppendUvarint(nil, uint64(shared))
	record = binary.AppendUvarint(record, uint64(len(name)-shared))
	record = append(record, name[shared:]...)
	record = binary.AppendVarint(record, times.accessed)
	record = binary.AppendVarint(record, times.modified)
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+len(record) > cap(t.chunks[last]) {
		t.chunks = append(t.chunks, make([]byte, 0, max(timesChunkBytes, len(record))))
		last++
	}
	t.chunks[last] = append(t.chunks[last], record...)
	t.last = name
	return int64(len(record))
}

// all calls do for each directory in the order of add. It stops at an error.
func (t *directoryTimes) all(do func(name string, times entryTimes) error) error {
	var name []byte
	for _, rest := range t.chunks {
		unsigned := func() uint64 {
			value, n := binary.Uvarint(rest)
			rest = rest[n:]
			return value
		}
		signed := func() int64 {
			value, n := binary.Varint(rest)
			rest = rest[n:]
			return value
		}
		for len(rest) > 0 {
			shared, own := unsigned(), unsigned()
			name = append(name[:shared], rest[:own]...)
			rest = rest[own:]
			if err := do(string(name), entryTimes{signed(), signed()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// timesOf returns the times that an entry gets. The access time is not before
// the modification time.
func timesOf(header *tar.Header) entryTimes {
	accessed := header.AccessTime
	if accessed.Before(header.ModTime) {
		accessed = header.ModTime
	}
	return entryTimes{nanoseconds(accessed), nanoseconds(header.ModTime)}
}

// nanoseconds returns zero for a time that is before 1970 or does not fit into
// 64 bits of nanoseconds, as containerd does.
func nanoseconds(t time.Time) int64 {
	if t.Before(time.Unix(0, 0)) || t.After(time.Unix(0, math.MaxInt64)) {
		return 0
	}
	return t.UnixNano()
}
