// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mount makes the volume appear at target: the directory data, or memory if it
// has a size. A target that an earlier driver has mounted stays unchanged.
func mount(data, target string, o options) error {
	mounted, err := isMounted(target)
	if err != nil || mounted {
		return err
	}
	if o.Size == "" {
		err = unix.Mount(data, target, "", unix.MS_BIND, "")
	} else {
		err = unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size="+o.Size)
	}
	return os.NewSyscallError("mount", err)
}

// unmount undoes mount. It succeeds if target is not mounted.
func unmount(target string) error {
	mounted, err := isMounted(target)
	if err != nil || !mounted {
		return err
	}
	return os.NewSyscallError("unmount", unix.Unmount(target, unix.UMOUNT_NOFOLLOW))
}

func isMounted(target string) (bool, error) {
	mounted, err := mountinfo.Mounted(target)
	if err != nil {
		return false, fmt.Errorf("look for mount %s: %w", target, err)
	}
	return mounted, nil
}
