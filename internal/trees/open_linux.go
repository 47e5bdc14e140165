// SPDX-License-Identifier: Apache-2.0

package trees

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	directoryFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// within refuses names that are symbolic links or mount points.
	within = unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV
)

// open opens a directory by its name in parent, or the parent of parent by "..".
func open(parent int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags, Resolve: within}
	for {
		fd, err := unix.Openat2(parent, name, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// listing reads the names in an open directory, one block at a time.
type listing struct {
	fd     int
	offset int64 // offset of the next name for lseek(2)
	block  []byte
	unread []byte
}

// listingBytes is the size of a block, which holds some hundred names.
const listingBytes = 8 << 10

// next returns the next name and its d_type. The name is empty at the end.
func (l *listing) next() (name string, kind byte, err error) {
	for {
		if len(l.unread) == 0 {
			if err := l.fill(); err != nil || len(l.unread) == 0 {
				return "", 0, err
			}
		}
		// struct linux_dirent64: https://man7.org/linux/man-pages/man2/getdents.2.html
		record := l.unread[:binary.NativeEndian.Uint16(l.unread[16:])]
		l.unread = l.unread[len(record):]
		l.offset = int64(binary.NativeEndian.Uint64(record[8:]))
		name, kind = unix.ByteSliceToString(record[19:]), record[18]
		if name != "." && name != ".." {
			return name, kind, nil
		}
	}
}

func (l *listing) fill() error {
	if l.block == nil {
		l.block = make([]byte, listingBytes)
	}
	for {
		n, err := unix.ReadDirent(l.fd, l.block)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("getdents64", err)
		}
		l.unread = l.block[:n]
		return nil
	}
}

// rewind restarts the listing.
func (l *listing) rewind() error { return l.seek(0) }

func (l *listing) seek(offset int64) error {
	l.unread, l.offset = nil, offset
	_, err := unix.Seek(l.fd, offset, unix.SEEK_SET)
	return os.NewSyscallError("lseek", err)
}
