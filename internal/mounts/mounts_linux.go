// SPDX-License-Identifier: Apache-2.0

// Package mounts makes and undoes the mounts in a plugin's directory. It reads
// the mount table and makes no call into a mounted file system, because its
// server can be gone; only DetachDead does, within a limit.
package mounts

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// Share makes dir a shared mount: host and plugin see each other's mounts below
// it, see https://man7.org/linux/man-pages/man7/mount_namespaces.7.html. A mount
// that is shared already stays, together with the mounts below it.
func Share(dir string) error { return mount.MakeRShared(dir) }

// UnmountBelow detaches the mounts below dir; shared are the directories in it that
// Share has made mounts. A mount at dir itself is the operator's and stays. It does
// not access the file systems, because their servers may be gone.
func UnmountBelow(dir string, shared ...string) error {
	isBelow := func(info *mountinfo.Info) bool { return info.Mountpoint != dir }
	if err := detachInside(dir, shared, isBelow); err != nil {
		return err
	}
	return detach(dir, isBelow, func(string) error { return nil })
}

// DetachInside detaches what is mounted at or below dir, except the lowest
// mounts at the places in shared, which Share has made.
func DetachInside(dir string, shared ...string) error {
	return detachInside(dir, shared, func(*mountinfo.Info) bool { return true })
}

func detachInside(dir string, shared []string, chosen func(*mountinfo.Info) bool) error {
	kept := map[int]bool{}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for _, info := range lowestAt(mounts, shared) {
		kept[info.ID] = true
	}
	return detach(dir, func(info *mountinfo.Info) bool { return chosen(info) && !kept[info.ID] }, isolate)
}

// detach detaches the chosen mounts at or below dir, each with what is mounted
// below it, after prepare.
func detach(dir string, chosen func(*mountinfo.Info) bool, prepare func(point string) error) error {
	const most = 100 // mounts on top of each other
	for range most {
		mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
		if err != nil {
			return err
		}
		mounts = slices.DeleteFunc(mounts, func(info *mountinfo.Info) bool { return !chosen(info) })
		if len(mounts) == 0 {
			return nil
		}
		var problems []error
		tops := topmost(mounts)
		for _, top := range tops {
			problems = append(problems, detachOne(top, prepare))
		}
		if !slices.Contains(problems, nil) {
			return errors.Join(problems...)
		}
	}
	return nil
}

// detachOne follows no link that has taken the place of a mount point.
func detachOne(point string, prepare func(point string) error) error {
	if err := prepare(point); err != nil {
		return err
	}
	if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return &os.PathError{Op: "unmount", Path: point, Err: err}
	}
	return nil
}

// topmost returns the mount points that are not below another one, each once.
func topmost(mounts []*mountinfo.Info) []string {
	var points []string
	for _, info := range mounts {
		points = append(points, info.Mountpoint)
	}
	slices.Sort(points)
	var tops []string
	for _, point := range points {
		below := func(top string) bool { return point == top || strings.HasPrefix(point, top+"/") }
		if !slices.ContainsFunc(tops, below) {
			tops = append(tops, point)
		}
	}
	return tops
}

// lowestAt returns the lowest mount at each of the places.
func lowestAt(infos []*mountinfo.Info, places []string) []*mountinfo.Info {
	var lowest []*mountinfo.Info
	for _, info := range infos {
		isThere := func(other *mountinfo.Info) bool { return other.Mountpoint == info.Mountpoint }
		if slices.Contains(places, info.Mountpoint) && !slices.ContainsFunc(lowest, isThere) {
			lowest = append(lowest, info)
		}
	}
	return lowest
}

// isolate makes a mount, and what is mounted below it, share with no other.
// Where a plugin has mounted a directory of the host, the mount shares with
// the host's own, and unmounting what is in it would unmount that on the host;
// see "Shared subtrees" in mount_namespaces(7).
func isolate(point string) error {
	if err := unix.Mount("", point, "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &os.PathError{Op: "make mount private", Path: point, Err: err}
	}
	return nil
}

// DetachDead detaches the mounts below dir that have lost their server. A plugin
// that serves a file system leaves such mounts when it dies, and nothing can be
// mounted over them.
func DetachDead(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	var problems []error
	for _, info := range slices.Backward(mounts) { // what is mounted last goes first
		if info.Mountpoint != dir && isDead(info) {
			problems = append(problems, detachOne(info.Mountpoint, isolate))
		}
	}
	return errors.Join(problems...)
}

// probes are the file systems that were asked and have not answered, by device.
// A thread of this process hangs for each, until the server answers or is
// gone, so that each is asked once at a time.
var probes sync.Map

// isDead reports whether the server of a mount is known to be gone. A server
// that does not answer may come back.
func isDead(info *mountinfo.Info) bool {
	type device struct{ major, minor int }
	asked := device{info.Major, info.Minor}
	if _, hangs := probes.LoadOrStore(asked, true); hangs {
		return false
	}
	const patience = 100 * time.Millisecond
	err, ok := bounded.Within(patience, func() error {
		defer probes.Delete(asked)
		_, err := os.Lstat(info.Mountpoint)
		return err
	})
	return ok && (errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ESTALE))
}
