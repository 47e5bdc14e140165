// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"
)

// write makes an entry and replaces what has its name. Only a directory is
// merged into an existing directory.
func (l *layer) write(d *directory, base, name string, header *tar.Header, content io.Reader) error {
	if err := checkOwner(header); err != nil {
		return err
	}
	if err := l.meter.attributes(header); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := l.makeDirectory(d, base); err != nil {
			return nameError("make directory", header, err)
		}
		if err := l.keepTimes(name, header); err != nil {
			return err
		}
		return setMetadata(d, base, header)
	case tar.TypeReg, tar.TypeGNUSparse:
		return l.writeFile(d, base, header, content)
	case tar.TypeSymlink:
		err := l.replace(d, base, func() error { return unix.Symlinkat(header.Linkname, d.fd, base) })
		if err != nil {
			return nameError("make symbolic link", header, err)
		}
		return setMetadata(d, base, header)
	case tar.TypeLink:
		return l.makeLink(d, base, header)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return l.makeNode(d, base, header)
	}
	return &EntryError{Entry: header.Name, Reason: fmt.Sprintf("unknown entry type %q", header.Typeflag)}
}

// replace calls create, and if the name is taken, removes what has it and calls
// create again. Most names are free, so it does not look first.
func (l *layer) replace(d *directory, base string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := l.tree.remove(l.ctx, d, base); err != nil {
		return err
	}
	return create()
}

func (l *layer) makeDirectory(d *directory, base string) error {
	return l.replace(d, base, func() error {
		err := unix.Mkdirat(d.fd, base, 0o700)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		if kind, kindErr := kindOf(d.fd, base); kindErr != nil || kind != unix.S_IFDIR {
			return err
		}
		return nil
	})
}

func (l *layer) writeFile(d *directory, base string, header *tar.Header, content io.Reader) error {
	if err := l.meter.file(header.Name, header.Size); err != nil {
		return err
	}
	if made, ok := content.(*pooledFile); ok {
		return l.place(d, base, header, made)
	}
	return l.makeFile(d, base, header, content)
}

func (l *layer) makeFile(d *directory, base string, header *tar.Header, content io.Reader) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd := -1
	err := l.replace(d, base, func() (err error) {
		fd, err = unix.Openat(d.fd, base, flags, uint32(header.Mode)&0o777)
		return err
	})
	if err != nil {
		return nameError("make file", header, err)
	}
	if err = l.copy(fd, header, content); err == nil {
		err = setMetadata(d, base, header)
	}
	if closeErr := l.close(fd); err == nil && closeErr != nil {
		return nameError("close", header, closeErr)
	}
	return err
}

// close closes a completed file, by closeFile if that is set.
func (l *layer) close(fd int) error {
	if l.closeFile == nil {
		return unix.Close(fd)
	}
	l.closeFile(fd)
	return nil
}

// flushBytes is how much of a file is written before the kernel is asked to
// start writing it to disk. The sync at the end of an install then has little
// to wait for.
const flushBytes = 1 << 20

func (l *layer) copy(fd int, header *tar.Header, content io.Reader) error {
	sparse := isSparse(header)
	var written, flushed int64
	for {
		n, err := content.Read(l.buffer)
		if writeErr := l.writeBlock(fd, header, l.buffer[:n], written, sparse); writeErr != nil {
			return writeErr
		}
		if written += int64(n); written-flushed >= flushBytes {
			// This only starts the writing; the sync at the end reports errors.
			// https://man7.org/linux/man-pages/man2/sync_file_range.2.html
			_ = unix.SyncFileRange(fd, flushed, written-flushed, unix.SYNC_FILE_RANGE_WRITE)
			flushed = written
			if l.ctx.Err() != nil {
				return context.Cause(l.ctx)
			}
		}
		if err == io.EOF && sparse {
			return l.extend(fd, header, written)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return formatError(err)
		}
	}
}

// holeBytes is the granularity of holes: a block of most file systems.
const holeBytes = 4 << 10

// writeBlock writes a part of a file at an offset. Zeros of a sparse file become
// holes, but the whole file counts as output of the archive, because a fragment
// of one byte takes a block of the disk.
func (l *layer) writeBlock(fd int, header *tar.Header, block []byte, offset int64, sparse bool) error {
	if !sparse {
		return writeAll(fd, header, block, offset)
	}
	if err := l.meter.expand(header.Name, len(block)); err != nil {
		return err
	}
	for len(block) > 0 {
		if hole := leadingHoles(block, offset); hole > 0 {
			block, offset = block[hole:], offset+int64(hole)
			continue
		}
		data := leadingData(block, offset)
		if err := writeAll(fd, header, block[:data], offset); err != nil {
			return err
		}
		block, offset = block[data:], offset+int64(data)
	}
	return nil
}

// leadingHoles returns how many bytes at the beginning of part are blocks of
// zeros. Part lies at offset in its file.
func leadingHoles(part []byte, offset int64) (length int) {
	for length < len(part) {
		next := endOfBlock(part, offset, length)
		if !isZero(part[length:next]) {
			break
		}
		length = next
	}
	return length
}

// leadingData returns how many bytes at the beginning of part are blocks with
// data. Part lies at offset in its file.
func leadingData(part []byte, offset int64) (length int) {
	for length < len(part) {
		next := endOfBlock(part, offset, length)
		if isZero(part[length:next]) {
			break
		}
		length = next
	}
	return length
}

// endOfBlock returns the index in part at which the block around position ends.
// Part lies at offset in its file.
func endOfBlock(part []byte, offset int64, position int) int {
	rest := holeBytes - int((offset+int64(position))%holeBytes)
	return min(len(part), position+rest)
}

// extend sets the size of a sparse file, which can end with a hole.
func (l *layer) extend(fd int, header *tar.Header, size int64) error {
	if err := unix.Ftruncate(fd, size); err != nil {
		return nameError("truncate", header, err)
	}
	return nil
}

func isZero(p []byte) bool {
	return len(p) > 0 && p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

func writeAll(fd int, header *tar.Header, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, offset)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nameError("write", header, err)
		}
		n = max(n, 0)
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// makeLink makes a hard link to a file of the tree. It first removes what has
// the link's name, so that a link to itself fails. The target's path is resolved
// inside the root. Its last component is not followed: a hard link to a symbolic
// link is a second name of the symbolic link.
func (l *layer) makeLink(d *directory, base string, header *tar.Header) error {
	target := rootedName(header.Linkname)
	if target == "" {
		return &EntryError{Entry: header.Name, Reason: "hard link to the root directory"}
	}
	if err := l.tree.remove(l.ctx, d, base); err != nil {
		return err
	}
	from, name, err := l.tree.find(target)
	if err != nil {
		return linkError(header, err)
	}
	kind, err := kindOf(from.fd, name)
	if err != nil {
		return linkError(header, err)
	}
	if kind == unix.S_IFDIR {
		return &EntryError{Entry: header.Name, Reason: fmt.Sprintf("hard link to %q: target is a directory", shorten(header.Linkname))}
	}
	if err := unix.Linkat(from.fd, name, d.fd, base, 0); err != nil {
		return linkError(header, err)
	}
	if err := setMetadata(d, base, header); err != nil {
		return err
	}
	return l.closeLinked(d, base, kind, header)
}

// closeLinked passes the file of a hard link to closeFile again, because the
// link's own entry changed the file's metadata.
func (l *layer) closeLinked(d *directory, base string, kind uint32, header *tar.Header) error {
	if l.closeFile == nil || kind != unix.S_IFREG {
		return nil
	}
	fd, err := unix.Openat(d.fd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nameError("open", header, err)
	}
	l.closeFile(fd)
	return nil
}

func linkError(header *tar.Header, err error) error {
	if isGone(err) {
		return &EntryError{Entry: header.Name, Reason: fmt.Sprintf("hard link to %q: target does not exist", shorten(header.Linkname))}
	}
	return nameError("make hard link", header, err)
}

func (l *layer) makeNode(d *directory, base string, header *tar.Header) error {
	kind := map[byte]uint32{
		tar.TypeChar:  unix.S_IFCHR,
		tar.TypeBlock: unix.S_IFBLK,
		tar.TypeFifo:  unix.S_IFIFO,
	}[header.Typeflag]
	if kind != unix.S_IFIFO && userns.RunningInUserNS() {
		// The kernel forbids making devices in a user namespace. containerd
		// also skips them.
		return nil
	}
	device := 0
	if kind != unix.S_IFIFO {
		if header.Devmajor < 0 || header.Devmajor > math.MaxUint32 || header.Devminor < 0 || header.Devminor > math.MaxUint32 {
			return &EntryError{Entry: header.Name, Reason: "device number is out of range"}
		}
		device = int(unix.Mkdev(uint32(header.Devmajor), uint32(header.Devminor)))
	}
	err := l.replace(d, base, func() error { return unix.Mknodat(d.fd, base, kind|0o600, device) })
	if err != nil {
		return nameError("make device", header, err)
	}
	return setMetadata(d, base, header)
}

func kindOf(fd int, base string) (uint32, error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(fd, base, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, err
	}
	return stat.Mode & unix.S_IFMT, nil
}

func nameError(op string, header *tar.Header, err error) error {
	return entryError(op, header.Name, err)
}
