package plugin

import "github.com/moby/sys/mount"

// shareMounts makes dir a mount whose sub-mounts the plugin and the host see
// of each other.
func shareMounts(dir string) error { return mount.MakeRShared(dir) }

// unmountAll detaches whatever is mounted at or below dir.
func unmountAll(dir string) error { return mount.RecursiveUnmount(dir) }
