// SPDX-License-Identifier: Apache-2.0

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
	v.text(field+".type", m.Type, maxPathBytes)
	v.mountType(field+".type", m)
	v.mountOptions(field+".options", m)
}

func (v *validator) mountType(field string, m types.PluginMount) {
	fileSystem, _, _ := strings.Cut(m.Type, ".")
	switch {
	case bindsFiles(m):
		if !slices.Contains(bindTypes, m.Type) {
			v.warn(field, m.Type, "is ignored: the mount's options make it a bind")
		}
	case slices.Contains(hostFileSystems, fileSystem) && !v.unconfined:
		v.refuse(field, m.Type, "shows the host's files: request allowAllDevices and CAP_SYS_ADMIN as well, or remove the mount")
	case m.Type == "":
		v.warn(field, "", "is empty, and no option says bind: runtimes can't mount it")
	case !slices.Contains(fileSystems, fileSystem):
		v.warn(field, m.Type, "is not a file system of the Linux kernel: it needs a module")
	}
}

func (v *validator) mountOptions(field string, m types.PluginMount) {
	bytes := 0
	for _, option := range m.Options {
		bytes += len(option) + len(",")
		if strings.ContainsRune(option, 0) {
			v.impossible(field, option, "has a NUL byte")
		}
	}
	if bytes > maxOptionBytes {
		v.impossible(field, "", fmt.Sprintf("have more than %d bytes", maxOptionBytes))
	}
	binds := bindsFiles(m)
	for _, word := range mountWords(m) {
		switch {
		case word == "readonly":
			v.warn(field, word, "is read as ro")
		case slices.Contains(idleWords, word), binds && !slices.Contains(bindWords, word):
			v.warn(field, word, "has no effect on this mount: it is left out")
		}
	}
}

// fileSystems are those of Linux, without a suffix as in fuse.sshfs.
var fileSystems = strings.Fields(`
	9p adfs affs afs aufs autofs bcachefs befs binder binfmt_misc bpf
	btrfs ceph cgroup cgroup2 cifs coda configfs cpuset cramfs debugfs devfs
	devpts devtmpfs ecryptfs efivarfs efs erofs exfat ext2 ext3 ext4 f2fs fuse
	fuseblk fusectl gfs2 hfs hfsplus hpfs hugetlbfs iso9660 jffs2 jfs lustre
	minix mqueue msdos nfs nfs4 nfsd nilfs2 ntfs ntfs3 ocfs2 omfs
	orangefs overlay overlayfs proc pstore qnx4 qnx6 ramfs reiserfs
	resctrl romfs rootfs rpc_pipefs securityfs selinuxfs smackfs smb3 sockfs
	squashfs sysfs sysv tmpfs tracefs ubifs udf ufs unionfs vboxsf vfat
	virtiofs xfs zfs zonefs`)
