// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/trees"
)

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func syncTree(dir *os.File) error {
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir.Name(), Err: err}
	}
	return nil
}

// syncsWhole reports whether syncfs on a directory's file system writes all data,
// and reports lost writes to every descriptor that was open then. FUSE does not
// forward syncfs, and overlayfs does not report the errors of its upper layer.
// Unknown file systems are not trusted.
func syncsWhole(dir *os.File) bool {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &stat); err != nil {
		return false
	}
	switch int64(stat.Type) { //nolint:unconvert // the type's size differs between architectures
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// syncDirectories syncs each directory of a tree, its top last.
func syncDirectories(top *os.File) error {
	var each errgroup.Group
	each.SetLimit(syncedAtOnce)
	err := trees.Walk(context.Background(), int(top.Fd()), trees.Visitor{
		Enter: func(_ trees.Dir, name string, opened trees.Dir) (bool, error) {
			fd, err := unix.FcntlInt(uintptr(opened.FD), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return false, os.NewSyscallError("fcntl", err)
			}
			dir := os.NewFile(uintptr(fd), name) // the walk closes its own
			each.Go(func() error {
				defer dir.Close()
				return dir.Sync()
			})
			return true, nil
		},
	})
	if err := errors.Join(err, each.Wait()); err != nil {
		return err
	}
	return top.Sync()
}

func mountsBelow(path string) ([]string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// The kernel lists mounts by their real path. A link as the last component is
	// not followed: the link itself is deleted.
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Join(parent, filepath.Base(path))))
	if err != nil {
		return nil, err
	}
	mounts := make([]string, len(infos))
	for i, info := range infos {
		mounts[i] = info.Mountpoint
	}
	return mounts, nil
}
