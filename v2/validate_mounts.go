package v2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
)

func (v *validator) mounts(list string, mounts []types.PluginMount) {
	v.length(list, len(mounts))
	for i, mount := range mounts {
		v.mount(fmt.Sprintf("%s[%d]", list, i), mount)
	}
}

func (v *validator) mount(field string, m types.PluginMount) {
	v.place(field+".destination", m.Destination)
	if m.Source != nil {
		v.text(field+".source", *m.Source, maxPathBytes)
	}
	if fileSystem, _, _ := strings.Cut(m.Type, "."); !slices.Contains(mountTypes, fileSystem) {
		v.refuse(field+".type", m.Type, "is no file system that Linux knows")
	}
	isBind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	bytes := 0
	for _, option := range m.Options {
		bytes += len(option) + len(",")
		for word := range strings.SplitSeq(option, ",") {
			if !isMountOption(word, isBind) {
				v.refuse(field+".options", word, "is not an option of mounts")
			}
		}
	}
	if bytes > maxOptionBytes {
		v.refuse(field+".options", "", fmt.Sprintf("have more than %d bytes", maxOptionBytes))
	}
}

// isMountOption accepts what an OCI runtime understands, what carries a value,
// and any word for a file system, which alone knows its own. A bind mount has
// none.
func isMountOption(word string, isBind bool) bool {
	name, value, hasValue := strings.Cut(word, "=")
	if word == "" || slices.Contains(mountFlags, word) {
		return true
	}
	if name == "" || strings.ContainsFunc(name, isNotWord) || strings.ContainsFunc(value, isControl) {
		return false
	}
	return hasValue || !isBind || slices.Contains(volumeWords, word)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// mountFlags are the words of the OCI runtime specification, config-linux.md
// and config.md, and those that runc has beyond them.
var mountFlags = strings.Fields(`
	acl async atime bind defaults dev diratime dirsync exec idmap iversion
	lazytime loud mand noacl noatime nodev nodiratime noexec noiversion
	nolazytime nomand norelatime nostrictatime nosuid nosymfollow private
	ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev
	rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
	rprivate rratime rrelatime rro rrw rshared rslave rstrictatime rsuid
	rsymfollow runbindable rw shared silent slave strictatime suid symfollow
	sync tmpcopyup unbindable`)

// volumeWords are for volumes of containers. On the mount of a plugin they
// change nothing, neither with docker nor here.
var volumeWords = []string{"z", "Z", "nocopy", "copy", "cached", "delegated", "consistent"}

// mountTypes are the file systems of Linux, without what may follow a dot as in
// fuse.sshfs, and the words of OCI runtimes. Bind mounts need none.
var mountTypes = append(strings.Fields(`
	9p adfs affs afs aufs autofs bcachefs befs bind binder binfmt_misc bpf
	btrfs ceph cgroup cgroup2 cifs coda configfs cpuset cramfs debugfs devfs
	devpts devtmpfs ecryptfs efivarfs efs erofs exfat ext2 ext3 ext4 f2fs fuse
	fuseblk fusectl gfs2 hfs hfsplus hpfs hugetlbfs iso9660 jffs2 jfs lustre
	minix mqueue msdos nfs nfs4 nfsd nilfs2 none ntfs ntfs3 ocfs2 omfs
	orangefs overlay overlayfs proc pstore qnx4 qnx6 ramfs rbind reiserfs
	resctrl romfs rootfs rpc_pipefs securityfs selinuxfs smackfs smb3 sockfs
	squashfs sysfs sysv tmpfs tracefs ubifs udf ufs unionfs vboxsf vfat
	virtiofs xfs zfs zonefs`), "")
