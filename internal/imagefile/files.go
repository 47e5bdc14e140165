// SPDX-License-Identifier: Apache-2.0

package imagefile

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/dovetailhq/plugin/internal/rootfs"
)

// files are the files of an image by their names, which are relative and have
// slashes. They can be opened concurrently.
type files interface {
	// open returns the content of a regular file and its size. The error of a missing
	// file is [fs.ErrNotExist].
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

// isMissing reports whether a name leads to no file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrInvalid)
}

func openFiles(ctx context.Context, path, scratch string, limits rootfs.Limits) (files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		return directory{root}, nil
	}
	file, err := openPlain(ctx, path, scratch, limits)
	if err != nil {
		return nil, err
	}
	archive, err := indexed(ctx, file, limits)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return archive, nil
}

// directory has files that no link leads out of.
type directory struct{ *os.Root }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	if !fs.ValidPath(name) {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	// Without O_NONBLOCK the open of a fifo waits.
	file, err := d.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = Invalidf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// archive has the files of an uncompressed tar archive.
type archive struct {
	*os.File
	entries map[string]place
}

// place is where an archive has a file: a part of the archive, or another name.
type place struct {
	offset, size int64
	link         string
}

// maxLinks bounds the links that lead to a file. Docker save before docker 25 links
// layers that occur twice to the first one.
const maxLinks = 8

func (a archive) open(name string) (io.ReadCloser, int64, error) {
	for range maxLinks {
		found, ok := a.entries[path.Clean(name)]
		if !ok {
			return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if found.link == "" {
			return io.NopCloser(io.NewSectionReader(a, found.offset, found.size)), found.size, nil
		}
		name = found.link
	}
	return nil, 0, Invalidf("%s is a link to a link, more than %d times", name, maxLinks)
}

// indexed finds the files of an archive. The last entry of a name decides, as when an
// archive is unpacked.
func indexed(ctx context.Context, file *os.File, limits rootfs.Limits) (archive, error) {
	limits.Entries = maxImageEntries
	found := archive{File: file, entries: map[string]place{}}
	err := rootfs.NewScanner(limits).Index(ctx, io.NewSectionReader(file, 0, math.MaxInt64), func(e rootfs.Entry) error {
		name := path.Clean(strings.TrimPrefix(e.Name, "/"))
		if len(name) > maxNameBytes || len(e.Linkname) > maxNameBytes {
			return nil // no reader looks it up
		}
		name = strings.Clone(name)
		delete(found.entries, name)
		switch {
		case e.IsSparse():
		case e.Typeflag == tar.TypeReg:
			found.entries[name] = place{offset: e.Offset, size: e.Size}
		case e.Typeflag == tar.TypeLink:
			found.entries[name] = place{link: path.Clean(e.Linkname)}
		case e.Typeflag == tar.TypeSymlink:
			found.entries[name] = place{link: path.Join(path.Dir(name), e.Linkname)}
		}
		return nil
	})
	return found, err
}

// openPlain opens an archive so that its parts can be read in any order.
func openPlain(ctx context.Context, path, scratch string, limits rootfs.Limits) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if info.Mode().IsRegular() {
		compression, err := rootfs.DetectCompression(io.NewSectionReader(file, 0, math.MaxInt64))
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if compression == rootfs.Uncompressed {
			return file, nil
		}
	}
	defer file.Close()
	return spool(ctx, file, scratch, limits)
}

// spool copies an archive, uncompressed, to a file in scratch that has no name.
func spool(ctx context.Context, source io.Reader, scratch string, limits rootfs.Limits) (_ *os.File, err error) {
	copied, err := os.CreateTemp(scratch, "image-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, copied.Close())
		}
	}()
	if err := os.Remove(copied.Name()); err != nil {
		return nil, err
	}
	return copied, rootfs.Copy(ctx, copied, source, limits)
}
