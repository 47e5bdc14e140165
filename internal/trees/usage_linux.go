package trees

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// blockBytes is the unit of stx_blocks, whatever the file system's own is.
const blockBytes = 512

// Usage returns what the tree at path takes of its disk, in bytes; nothing if
// it is not there. A file of several names counts once. Nothing that is mounted
// below is asked, because an answer may never come; what is mounted at path
// itself counts if through is true, and is nothing otherwise. What comes and
// goes during the walk may be missed. Beside an error, which is [ErrTooDeep],
// ctx's or the kernel's, bytes is what was found until then.
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

// measure adds up what files take.
type measure struct {
	bytes   int64
	counted map[file]bool // those of several names
}

// file identifies one, by its device and inode.
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

// add counts a file. What its server would have to be asked for is taken from
// what the kernel knows.
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
