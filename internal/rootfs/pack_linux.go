// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// packer writes a directory tree as an archive. The kernel resolves each name inside
// the directory, so that no symbolic link leads out of it.
type packer struct {
	ctx    context.Context // ends the packing; its lifetime is the packer's
	root   int
	meter  *meter
	write  func(*tar.Header, io.Reader) error
	linked map[fileID]string // the first names of files with several names
}

// fileID identifies a file. All files of a tree are on one device.
type fileID uint64

// pack calls write with each entry of a tree: the root as ".", and then all names,
// each directory before its content and in the order of the alphabet. Sockets are
// left out: archives have none.
func pack(ctx context.Context, dir string, m *meter, write func(*tar.Header, io.Reader) error) error {
	fd, err := unix.Open(dir, directoryFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &SystemError{Op: "open directory", Entry: dir, Err: err}
	}
	defer unix.Close(fd)
	p := &packer{ctx: ctx, root: fd, meter: m, write: write, linked: map[fileID]string{}}
	return p.entry(".")
}

func (p *packer) entry(name string) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if strings.HasPrefix(path.Base(name), whiteoutPrefix) {
		return &EntryError{Entry: name, Reason: "has the name of a whiteout, which deletes a file"}
	}
	fd, err := openPath(p.root, name)
	if err != nil {
		return entryError("open", name, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return entryError("stat", name, err)
	}
	if err := p.meter.begin(name, int64(len(name))); err != nil {
		return err
	}
	header := headerOf(name, stat)
	if first, ok := p.linked[fileID(stat.Ino)]; ok && stat.Nlink > 1 && header.Typeflag != tar.TypeDir {
		header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
		return p.write(header, nil)
	}
	if err := p.add(fd, header); err != nil {
		return err
	}
	if stat.Nlink > 1 && header.Typeflag != tar.TypeDir {
		p.linked[fileID(stat.Ino)] = name
	}
	return nil
}

// openPath opens a name of any kind without reading it.
func openPath(dirfd int, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: confined}
	for {
		fd, err := unix.Openat2(dirfd, name, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// headerOf returns the header of an entry. Like docker's, it has whole seconds.
func headerOf(name string, stat unix.Stat_t) *tar.Header {
	header := &tar.Header{
		Name:    name,
		Mode:    int64(stat.Mode & modeBits),
		Uid:     int(stat.Uid),
		Gid:     int(stat.Gid),
		ModTime: time.Unix(int64(stat.Mtim.Sec), 0), //nolint:unconvert // Sec differs between architectures
		Format:  tar.FormatPAX,
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		header.Typeflag, header.Size = tar.TypeReg, stat.Size
	case unix.S_IFDIR:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		header.Typeflag = tar.TypeSymlink
	case unix.S_IFIFO:
		header.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		header.Typeflag = tar.TypeChar
		if isKind(stat.Mode, unix.S_IFBLK) {
			header.Typeflag = tar.TypeBlock
		}
		device := uint64(stat.Rdev) //nolint:unconvert // Rdev differs between architectures
		header.Devmajor, header.Devminor = int64(unix.Major(device)), int64(unix.Minor(device))
	}
	return header
}

// add writes an entry that is not another name of an earlier one.
func (p *packer) add(fd int, header *tar.Header) (err error) {
	switch header.Typeflag {
	case tar.TypeDir:
		return p.directory(fd, header)
	case tar.TypeReg:
		return p.file(fd, header)
	case tar.TypeSymlink:
		if header.Linkname, err = readLink(fd, ""); err != nil {
			return entryError("read link", header.Name, err)
		}
		return p.write(header, nil)
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		return p.write(header, nil)
	}
	return nil // a socket
}

// reopen opens what fd, an O_PATH descriptor, refers to for reading. The caller has
// checked that it is a file or a directory.
func reopen(fd int, header *tar.Header) (*os.File, error) {
	again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, entryError("open", header.Name, err)
	}
	file := os.NewFile(uintptr(again), header.Name)
	if header.PAXRecords, err = xattrsOf(again); err != nil {
		_ = file.Close()
		return nil, entryError("read extended attributes of", header.Name, err)
	}
	return file, nil
}

func (p *packer) directory(fd int, header *tar.Header) error {
	opened, err := reopen(fd, header)
	if err != nil {
		return err
	}
	names, err := opened.Readdirnames(-1)
	_ = opened.Close()
	if err != nil {
		return entryError("read directory", header.Name, err)
	}
	name := header.Name // write can change the header
	if err := p.write(header, nil); err != nil {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		if err := p.entry(path.Join(name, base)); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) file(fd int, header *tar.Header) error {
	if err := p.meter.file(header.Name, header.Size); err != nil {
		return err
	}
	opened, err := reopen(fd, header)
	if err != nil {
		return err
	}
	defer opened.Close()
	content := &wholeFile{ctx: p.ctx, source: opened, name: header.Name, left: header.Size}
	return p.write(header, content)
}

// wholeFile reads as many bytes of a file as its header says.
type wholeFile struct {
	ctx    context.Context // ends the reading; its lifetime is the packer's
	source io.Reader
	name   string
	left   int64
}

func (f *wholeFile) Read(b []byte) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.source.Read(b[:min(int64(len(b)), f.left)])
	f.left -= int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == io.EOF:
		return 0, &EntryError{Entry: f.name, Reason: "became shorter while it was read"}
	case err != nil:
		return 0, entryError("read", f.name, err)
	}
	return 0, nil
}

// xattrsOf returns the extended attributes that belong to a plugin: capabilities of
// programs, and those of users. The rest belongs to the host, for example the labels
// of its security module.
func xattrsOf(fd int) (map[string]string, error) {
	n, err := unix.Flistxattr(fd, nil)
	if err == nil && n > 0 {
		return readXattrs(fd)
	}
	if errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return nil, err
}

// maxXattrBytes is the kernel's limit for a list of names and for a value, see
// https://man7.org/linux/man-pages/man7/xattr.7.html
const maxXattrBytes = 64 << 10

func readXattrs(fd int) (map[string]string, error) {
	names, value := make([]byte, maxXattrBytes), make([]byte, maxXattrBytes)
	n, err := unix.Flistxattr(fd, names)
	if err != nil {
		return nil, err
	}
	records := map[string]string{}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(names[:n], []byte{0}), []byte{0}) {
		if string(name) != capabilityXattr && !strings.HasPrefix(string(name), userXattrs) {
			continue
		}
		n, err := unix.Fgetxattr(fd, string(name), value)
		if err != nil {
			return nil, err
		}
		records[xattrRecord+string(name)] = string(value[:n])
	}
	return records, nil
}

const capabilityXattr = "security.capability"
