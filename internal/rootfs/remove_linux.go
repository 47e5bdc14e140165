// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"errors"
	"path"

	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/trees"
)

// remove deletes an entry and, if it is a directory, everything below it. It
// follows no symbolic link and fails at a mount point. Removing a name that does
// not exist is not an error.
func (t *tree) remove(ctx context.Context, d *directory, base string) error {
	var stat unix.Stat_t
	err := unix.Fstatat(d.fd, base, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return entryError("remove", path.Join(d.name, base), err)
	}
	if isKind(stat.Mode, unix.S_IFDIR) {
		err = removeDirectory(ctx, d.fd, base)
	} else {
		err = unix.Unlinkat(d.fd, base, 0)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return entryError("remove", path.Join(d.name, base), err)
	}
	if isKind(stat.Mode, unix.S_IFDIR) || isKind(stat.Mode, unix.S_IFLNK) {
		t.dropOpen()
	}
	return nil
}

func isKind(mode, kind uint32) bool { return mode&unix.S_IFMT == kind }

// removedAtOnce is how many names are removed between two checks of ctx.
const removedAtOnce = 1000

func removeDirectory(ctx context.Context, parent int, base string) error {
	removal := trees.RemoveAt(parent, base)
	defer removal.Close()
	for {
		if done, err := removal.Run(ctx, removedAtOnce); done || err != nil {
			return err
		}
	}
}
