package rootfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Marks of deletion, from the OCI image specification's layer.md.
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// place is an entry's name in a directory, whatever path led there.
type place struct {
	directory uint64
	base      string
}

// whiteout reports whether base marks a deletion, and the name that it hides:
// empty when that is everything in the directory.
func whiteout(base string) (hidden string, ok bool) {
	if base == opaqueMark {
		return "", true
	}
	hidden, ok = strings.CutPrefix(base, whiteoutPrefix)
	if hidden == "" {
		hidden = "." // not a name, and refused as one
	}
	return hidden, ok
}

// keep remembers that this layer brought an entry.
func (l *layer) keep(d *directory, base string) {
	if l.own != nil {
		l.own[place{d.inode, base}] = struct{}{}
	}
}

func (l *layer) hide(d *directory, hidden, mark string) error {
	switch hidden {
	case "":
		return l.hideLower(d)
	case ".", "..":
		return &EntryError{Entry: mark, Reason: "it hides nothing that has a name"}
	}
	return l.tree.remove(d, hidden)
}

// hideLower empties a directory of what lower layers put there.
func (l *layer) hideLower(d *directory) error {
	if l.own == nil {
		return nil
	}
	if err := l.hideBelow(d.fd, "."); err != nil {
		return entryError("empty opaque directory", d.name, err)
	}
	l.tree.forget()
	return nil
}

func (l *layer) hideBelow(parent int, base string) error {
	return eachName(parent, base, func(fd int, name string) error {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil {
			return err
		}
		_, own := l.own[place{stat.Ino, name}]
		err := l.hideOne(fd, name, own)
		if errors.Is(err, unix.ENOTEMPTY) {
			// A lower layer's directory holds something of this layer.
			return nil
		}
		return err
	})
}

func (l *layer) hideOne(fd int, name string, own bool) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if !isKind(stat.Mode, unix.S_IFDIR) {
		if own {
			return nil
		}
		return unix.Unlinkat(fd, name, 0)
	}
	if err := l.hideBelow(fd, name); err != nil || own {
		return err
	}
	return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
}
