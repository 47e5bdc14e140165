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
	accessList   = "system.posix_acl_access" // an attribute that changes the mode
	modeBits     = 0o7777
	maxOwner     = math.MaxUint32 - 1 // the id above means "leave it"
	openedByProc = "/proc/self/fd/%d/%s"

	// modestAttributeBytes fit into half a block of ext4, with what it needs
	// beside them.
	modestAttributeBytes = 2000
)

func checkOwner(header *tar.Header) error {
	for _, id := range []int{header.Uid, header.Gid} {
		if id < 0 || int64(id) > maxOwner {
			return &EntryError{Entry: header.Name, Reason: fmt.Sprintf("its owner %d:%d is out of range", header.Uid, header.Gid)}
		}
	}
	return nil
}

// setMetadata gives an entry its owner, extended attributes, mode and times, in
// this order: a change of owner clears set-id bits and capabilities. Owner and
// mode mostly are what a new file has anyway, and asking is cheaper than
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

// setMode leaves symbolic links, which have none, alone. The mode it had may
// not be it any more when its owner or its access list was changed.
func setMode(d *directory, base string, header *tar.Header, have uint32, sameOwner bool) error {
	mode := uint32(header.Mode) & modeBits
	_, listed := header.PAXRecords[xattrRecord+accessList]
	if isKind(have, unix.S_IFLNK) || sameOwner && !listed && have&modeBits == mode {
		return nil
	}
	return unix.Fchmodat(d.fd, base, mode, 0)
}

// setXattrs leaves out, like containerd, what is not an archive's to say
// (trusted attributes) and what the file system can't hold.
func setXattrs(d *directory, base string, header *tar.Header, mode uint32) error {
	// There is no setxattrat before Linux 6.13. The last part of the path is not
	// followed.
	path := fmt.Sprintf(openedByProc, d.fd, base)
	for record, value := range header.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || strings.HasPrefix(name, adminXattrs) {
			continue
		}
		err := unix.Lsetxattr(path, name, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) || ownedByOthers(err, name, mode) {
			continue
		}
		if errors.Is(err, unix.ENOSPC) && attributeBytes(header) > modestAttributeBytes {
			return &EntryError{Entry: header.Name, Reason: "its extended attributes are more than the file system has room for"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attributeBytes is how much an entry wants kept beside its content. ext4 has
// one block for it, and says that the disk is full when that is.
func attributeBytes(header *tar.Header) (total int) {
	for record, value := range header.PAXRecords {
		if name, ok := strings.CutPrefix(record, xattrRecord); ok {
			total += len(name) + len(value)
		}
	}
	return total
}

// ownedByOthers tells the refusal of a user attribute where there can't be
// any; see xattr(7).
func ownedByOthers(err error, name string, mode uint32) bool {
	return errors.Is(err, unix.EPERM) && strings.HasPrefix(name, userXattrs) &&
		!isKind(mode, unix.S_IFREG) && !isKind(mode, unix.S_IFDIR)
}

// finish gives directories their times, now that nothing is put in them any
// more.
func (l *layer) finish() error {
	defer func() { l.meter.kept -= l.keptBytes }()
	return l.directories.all(func(name string, times entryTimes) error {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		l.tree.next()
		d, base, err := l.tree.find(name)
		if isGone(err) {
			return nil
		}
		if err != nil {
			return entryError("open directory of", name, err)
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

// keepTimes keeps a directory's times for the end.
func (l *layer) keepTimes(name string, header *tar.Header) error {
	bytes := l.directories.add(name, timesOf(header))
	l.keptBytes += bytes
	return l.meter.keep(bytes)
}

// isGone tells that the layer itself removed a directory, or replaced it.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func setTimes(d *directory, base string, times entryTimes) error {
	specs := []unix.Timespec{unix.NsecToTimespec(times.accessed), unix.NsecToTimespec(times.modified)}
	return unix.UtimesNanoAt(d.fd, base, specs, unix.AT_SYMLINK_NOFOLLOW)
}
