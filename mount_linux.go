package plugin

import (
	"errors"
	"os"
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
func unmountAll(dir string) error { return mount.RecursiveUnmount(dir) }

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
		if info.Mountpoint != dir && (errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ESTALE)) {
			problems = append(problems, unix.Unmount(info.Mountpoint, unix.MNT_DETACH))
		}
	}
	return errors.Join(problems...)
}
