// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	adminXattrs  = "trusted."
	userXattrs   = "user."
	accessList   = "system.posix_acl_access" // setting it changes the mode
	modeBits     = 0o7777
	maxOwner     = math.MaxUint32 - 1 // chown(2) takes the next ID, -1, as "no change"
	openedByProc = "/proc/self/fd/%d/%s"

	// modestAttributeBytes of attributes, with ext4's own overhead, fit into half
	// a block.
	modestAttributeBytes = 2000
)

func checkOwner(header *tar.Header) error {
	for _, id := range []int{header.Uid, header.Gid} {
		if id < 0 || int64(id) > maxOwner {
			return &EntryError{Entry: header.Name, Reason: fmt.Sprintf("owner %d:%d is out of range", header.Uid, header.Gid)}
		}
	}
	return nil
}

// setMetadata sets an entry's owner, extended attributes, mode and times, in
// this order, because a change of owner clears set-id bits and capabilities. A
// new file mostly has the right owner and mode already, and stat is cheaper than
// setting them.
func setMetadata(d *directory, base string, header *tar.Header) error {
	var have unix.Stat_t
	if err := unix.Fstatat(d.fd, base, &have, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nameError("stat", header, err)
	}
	sameOwner := have.Uid == uint32(header.Uid) && have.Gid == uint32(header.Gid)
	if !sameOwner {
		if err := unix.Fchownat(d.fd, base, header.Uid, header.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nameError("change owner", header, err)
		}
	}
	if err := setXattrs(d, base, header, have.Mode); err != nil {
		return nameError("set extended attribute", header, err)
	}
	if err := setMode(d, base, header, have.Mode, sameOwner); err != nil {
		return nameError("change mode", header, err)
	}
	if err := setTimes(d, base, timesOf(header)); err != nil {
		return nameError("change times", header, err)
	}
	return nil
}

// setMode sets the mode of an entry, unless it is a symbolic link, which has
// none. It trusts the mode that stat returned only if neither the owner nor the
// access list was changed since.
func setMode(d *directory, base string, header *tar.Header, have uint32, sameOwner bool) error {
	mode := uint32(header.Mode) & modeBits
	_, listed := header.PAXRecords[xattrRecord+accessList]
	if isKind(have, unix.S_IFLNK) || sameOwner && !listed && have&modeBits == mode {
		return nil
	}
	return unix.Fchmodat(d.fd, base, mode, 0)
}

// setXattrs sets an entry's extended attributes. Like containerd it skips
// trusted attributes, which belong to the host, and attributes that the file
// system does not support.
func setXattrs(d *directory, base string, header *tar.Header, mode uint32) error {
	// Linux before 6.13 has no setxattrat(2). Lsetxattr does not follow the last
	// component of the path.
	path := fmt.Sprintf(openedByProc, d.fd, base)
	for record, value := range header.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || strings.HasPrefix(name, adminXattrs) {
			continue
		}
		err := unix.Lsetxattr(path, name, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) || userXattrForbidden(err, name, mode) {
			continue
		}
		if errors.Is(err, unix.ENOSPC) && attributeBytes(header) > modestAttributeBytes {
			return &EntryError{Entry: header.Name, Reason: "extended attributes are larger than the file system supports"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attributeBytes returns the size of an entry's extended attributes. ext4 has
// one block for them, and returns ENOSPC when the block is full.
func attributeBytes(header *tar.Header) (total int) {
	for record, value := range header.PAXRecords {
		if name, ok := strings.CutPrefix(record, xattrRecord); ok {
			total += len(name) + len(value)
		}
	}
	return total
}

// userXattrForbidden reports whether err is the refusal of a user attribute on a
// file that is neither regular nor a directory:
// https://man7.org/linux/man-pages/man7/xattr.7.html
func userXattrForbidden(err error, name string, mode uint32) bool {
	return errors.Is(err, unix.EPERM) && strings.HasPrefix(name, userXattrs) &&
		!isKind(mode, unix.S_IFREG) && !isKind(mode, unix.S_IFDIR)
}

// finish sets the times of directories, after their content is complete.
func (l *layer) finish() error {
	defer func() { l.meter.kept -= l.keptBytes }()
	return l.directories.all(func(name string, times entryTimes) error {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		l.tree.closeStale()
		d, base, err := l.tree.find(name)
		if isGone(err) {
			return nil
		}
		if err != nil {
			return entryError("open parent directory of", name, err)
		}
		kind, err := kindOf(d.fd, base)
		if isGone(err) || kind != unix.S_IFDIR {
			return nil
		}
		if err := setTimes(d, base, times); err != nil {
			return entryError("change times", name, err)
		}
		return nil
	})
}

// keepTimes stores a directory's times for finish.
func (l *layer) keepTimes(name string, header *tar.Header) error {
	bytes := l.directories.add(name, timesOf(header))
	l.keptBytes += bytes
	return l.meter.keep(bytes)
}

// isGone reports whether a path no longer exists, because the layer itself
// removed or replaced a part of it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func setTimes(d *directory, base string, times entryTimes) error {
	specs := []unix.Timespec{unix.NsecToTimespec(times.accessed), unix.NsecToTimespec(times.modified)}
	return unix.UtimesNanoAt(d.fd, base, specs, unix.AT_SYMLINK_NOFOLLOW)
}
