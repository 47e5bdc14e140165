// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pool is a directory for files of layers ahead of their turn. It is safe for
// concurrent use. A nil pool has no room.
type pool struct {
	dir       *directory
	path      string
	closeFile func(fd int) // see Unpacker.CloseFilesBy
	files     atomic.Int64 // gives names
	room      atomic.Int64 // bytes
}

// pooledFile is the content of a file with its metadata in the pool, without a place
// in the tree. It is the content of an entry.
type pooledFile struct {
	pool *pool
	name string
	err  error // why the file could not be made
}

// Read is never called: [layer.place] moves the file.
func (*pooledFile) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// openPool makes the pool if there are layers ahead.
func (u *Unpacker) openPool(layers int) (*pool, error) {
	if layers < 2 {
		return nil, nil
	}
	if err := unix.Mkdir(u.poolDir, 0o700); err != nil {
		return nil, &SystemError{Op: "make directory", Entry: u.poolDir, Err: err}
	}
	fd, err := unix.Open(u.poolDir, directoryFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &SystemError{Op: "open directory", Entry: u.poolDir, Err: err}
	}
	dir, err := newDirectory(fd, "")
	if err != nil {
		return nil, err
	}
	p := &pool{dir: dir, path: u.poolDir, closeFile: u.closeFile}
	p.room.Store(u.meter.limits.UnpackedBytes)
	return p, nil
}

// close closes the pool, and removes its directory if that is empty.
func (p *pool) close() error {
	if p == nil {
		return nil
	}
	_ = unix.Close(p.dir.fd)
	if err := unix.Rmdir(p.path); err != nil {
		return &SystemError{Op: "remove directory", Entry: p.path, Err: err}
	}
	return nil
}

// reserve takes room for a file.
func (p *pool) reserve(size int64) bool {
	if p == nil {
		return false
	}
	if p.room.Add(-size) >= 0 {
		return true
	}
	p.room.Add(size)
	return false
}

// write makes a file in the pool by a layer's writer. The bytes are reserved.
func (p *pool) write(writer *layer, header *tar.Header, content io.Reader) *pooledFile {
	made := &pooledFile{pool: p, name: strconv.FormatInt(p.files.Add(1), 36)}
	// The replay returns these errors itself.
	if made.err = checkOwner(header); made.err == nil {
		made.err = writer.writeFile(p.dir, made.name, header, content)
	}
	return made
}

// place gives a file of the pool its name, and replaces what has the name.
func (l *layer) place(d *directory, base string, header *tar.Header, made *pooledFile) error {
	if made.err != nil {
		return made.err
	}
	defer made.pool.room.Add(header.Size)
	if hasDefaultList(d) {
		return l.copyPooled(d, base, header, made)
	}
	err := l.replace(d, base, func() error { return moveFile(made.pool.dir.fd, made.name, d.fd, base) })
	if err != nil {
		return nameError("make file", header, err)
	}
	return nil
}

// hasDefaultList reports whether files that are made in a directory inherit an access
// list: https://man7.org/linux/man-pages/man5/acl.5.html. A file that is moved there
// does not inherit it.
func hasDefaultList(d *directory) bool {
	_, err := unix.Fgetxattr(d.fd, "system.posix_acl_default", nil)
	return err == nil
}

// copyPooled makes a file anew from one in the pool.
func (l *layer) copyPooled(d *directory, base string, header *tar.Header, made *pooledFile) error {
	fd, err := unix.Openat(made.pool.dir.fd, made.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nameError("open", header, err)
	}
	content := os.NewFile(uintptr(fd), made.name)
	defer content.Close()
	if err := l.makeFile(d, base, header, content); err != nil {
		return err
	}
	if err := unix.Unlinkat(made.pool.dir.fd, made.name, 0); err != nil {
		return nameError("remove", header, err)
	}
	return nil
}

// moveFile renames a file, unless the new name is taken.
func moveFile(fromDir int, from string, toDir int, to string) error {
	err := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// Some file systems know no flags of a rename.
	if err := unix.Linkat(fromDir, from, toDir, to, 0); err != nil {
		return err
	}
	return unix.Unlinkat(fromDir, from, 0)
}
