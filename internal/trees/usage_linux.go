// SPDX-License-Identifier: Apache-2.0

package trees

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// blockBytes is the unit of stx_blocks on all file systems:
// https://man7.org/linux/man-pages/man2/statx.2.html
const blockBytes = 512

// Usage returns the disk usage of the tree at path in bytes, or zero if there is
// none. It counts a file with several names once. It does not access mounts below
// path, because a mounted file system may never answer. If path itself is a mount
// point, Usage counts it if through is true, and returns zero otherwise. It can
// miss files that come or go during the walk. The error is [ErrTooDeep], or that
// of ctx or the kernel; bytes is then the usage found so far.
func Usage(ctx context.Context, path string, through bool) (bytes int64, err error) {
	m := measure{counted: map[file]bool{}}
	err = m.tree(ctx, path, through)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EXDEV) || errors.Is(err, ErrMoved) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("measure %s: %w", path, err)
	}
	return m.bytes, err
}

// measure adds up the disk usage of files.
type measure struct {
	bytes   int64
	counted map[file]bool // counted files with several names
}

// file identifies a file by its device and inode.
type file struct {
	major, minor uint32
	inode        uint64
}

func (m *measure) tree(ctx context.Context, path string, through bool) error {
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC}
	if !through {
		how.Resolve = within &^ unix.RESOLVE_NO_SYMLINKS
	}
	top, err := unix.Openat2(parent, filepath.Base(path), &how)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	directory, err := m.add(top, "", unix.AT_EMPTY_PATH)
	if err != nil || !directory {
		return err
	}
	return Walk(ctx, top, Visitor{
		File: func(dir Dir, name string) error {
			_, err := m.add(dir.FD, name, 0)
			return err
		},
		Enter: func(_ Dir, _ string, opened Dir) (bool, error) {
			_, err := m.add(opened.FD, "", unix.AT_EMPTY_PATH)
			return true, err
		},
	})
}

// add counts a file. It uses the kernel's cached attributes, because the server
// of a network file system may not answer.
func (m *measure) add(dir int, name string, flags int) (directory bool, err error) {
	flags |= unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	var stat unix.Statx_t
	err = unix.Statx(dir, name, flags, unix.STATX_BASIC_STATS, &stat)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	directory = stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if name != "" && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return directory, nil
	}
	if !directory && stat.Nlink > 1 {
		identity := file{stat.Dev_major, stat.Dev_minor, stat.Ino}
		if m.counted[identity] {
			return false, nil
		}
		m.counted[identity] = true
	}
	m.bytes += int64(stat.Blocks) * blockBytes
	return directory, nil
}
