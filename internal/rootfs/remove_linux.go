package rootfs

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// remove deletes an entry and, if it is a directory, everything below it. It
// follows no symbolic link and stops at a mount point. What does not exist is
// not an error.
func (t *tree) remove(d *directory, base string) error {
	var stat unix.Stat_t
	err := unix.Fstatat(d.fd, base, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return entryError("remove", path.Join(d.name, base), err)
	}
	if isKind(stat.Mode, unix.S_IFDIR) {
		err = removeDirectory(d.fd, base)
	} else {
		err = unix.Unlinkat(d.fd, base, 0)
	}
	if err != nil {
		return entryError("remove", path.Join(d.name, base), err)
	}
	if isKind(stat.Mode, unix.S_IFDIR) || isKind(stat.Mode, unix.S_IFLNK) {
		t.forget()
	}
	return nil
}

func isKind(mode, kind uint32) bool { return mode&unix.S_IFMT == kind }

func removeDirectory(parent int, base string) error {
	err := eachName(parent, base, func(fd int, name string) error {
		err := unix.Unlinkat(fd, name, 0)
		if errors.Is(err, unix.EISDIR) {
			return removeDirectory(fd, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
}

// eachName calls visit for the names in a directory that is base in parent.
func eachName(parent int, base string, visit func(fd int, name string) error) error {
	fd, err := openConfined(parent, base, oneStep)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := visit(fd, name); err != nil {
			return err
		}
	}
	return nil
}
