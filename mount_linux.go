package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// shareMounts makes dir a mount whose sub-mounts the plugin and the host see
// of each other. One that is shared already stays as it is, with what is
// mounted below it.
func shareMounts(dir string) error { return mount.MakeRShared(dir) }

// unmountAll detaches whatever is mounted at or below dir.
func unmountAll(dir string) error {
	return errors.Join(detachInside(dir), mount.RecursiveUnmount(dir))
}

// detachInside detaches whatever is mounted at or below dir, except what
// shareMounts made.
func detachInside(dir string) error {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	kept := propagatedMounts(infos)
	var problems []error
	for _, info := range slices.Backward(infos) { // what is mounted last goes first
		if slices.Contains(kept, info) {
			continue
		}
		parent := slices.IndexFunc(infos, func(other *mountinfo.Info) bool { return other.ID == info.Parent })
		if parent >= 0 && !slices.Contains(kept, infos[parent]) {
			problems = append(problems, isolate(infos[parent].Mountpoint))
		}
		problems = append(problems, unix.Unmount(info.Mountpoint, unix.MNT_DETACH))
	}
	return errors.Join(problems...)
}

// propagatedMounts returns the lowest mounts at the places of propagated mounts.
func propagatedMounts(infos []*mountinfo.Info) []*mountinfo.Info {
	var lowest []*mountinfo.Info
	for _, info := range infos {
		isThere := func(other *mountinfo.Info) bool { return other.Mountpoint == info.Mountpoint }
		if filepath.Base(info.Mountpoint) == "propagated-mount" && !slices.ContainsFunc(lowest, isThere) {
			lowest = append(lowest, info)
		}
	}
	return lowest
}

// isolate makes a mount share with no other. Where a plugin has mounted a
// directory of the host, the mount shares with the host's own, and unmounting
// what is in it would unmount that on the host; see "Shared subtrees" in
// mount_namespaces(7).
func isolate(point string) error {
	err := unix.Mount("", point, "", unix.MS_PRIVATE, "")
	if err == nil || isDead(err) {
		return nil
	}
	return &os.PathError{Op: "make mount private", Path: point, Err: err}
}

func isDead(err error) bool { return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ESTALE) }

// detachDead detaches the mounts below dir whose server is gone, as a plugin
// that serves a file system leaves them when it dies: nothing could be done
// with them, not even mounting over them.
func detachDead(dir string) error {
	below, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	var problems []error
	for _, info := range slices.Backward(below) { // what is mounted last goes first
		_, err := os.Lstat(info.Mountpoint)
		if info.Mountpoint != dir && isDead(err) {
			problems = append(problems, unix.Unmount(info.Mountpoint, unix.MNT_DETACH))
		}
	}
	return errors.Join(problems...)
}
