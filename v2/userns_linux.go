// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/dovetailhq/plugin/internal/class"
)

// userNamespace describes the user namespace that the daemon runs in, for example
// in rootless mode.
type userNamespace struct {
	// lockedFlags returns the flags of the mount that a path is on which a bind
	// of the path must keep.
	lockedFlags func(path string) ([]string, error)
	// hasGroup reports whether a group exists in the namespace.
	hasGroup func(id uint32) bool
	// network is a detached network namespace, which replaces the host's for
	// plugins; empty if there is none.
	network string
}

// fitUserNamespace adapts a spec to the daemon's user namespace, if it runs in
// one.
func fitUserNamespace(spec *specs.Spec, w *watch) error {
	if !userns.RunningInUserNS() {
		return nil
	}
	own := ownUserNamespace()
	own.lockedFlags = func(path string) ([]string, error) {
		if err := w.look(path, ""); err != nil {
			return nil, err
		}
		return lockedFlags(path)
	}
	return own.fit(spec)
}

func ownUserNamespace() userNamespace {
	return userNamespace{lockedFlags: lockedFlags, hasGroup: hasGroup, network: detachedNetwork(os.Getenv("ROOTLESSKIT_STATE_DIR"))}
}

// fit adds the locked flags to binds, removes owners of file systems that the
// namespace lacks, and replaces the host's network by the detached one.
func (n userNamespace) fit(spec *specs.Spec) error {
	for i := range spec.Mounts {
		mount := &spec.Mounts[i]
		if !slices.Contains(mount.Options, "bind") && !slices.Contains(mount.Options, "rbind") {
			mount.Options = slices.DeleteFunc(slices.Clone(mount.Options), n.lacksGroup)
			continue
		}
		flags, err := n.lockedFlags(mount.Source)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the runtime's error names the source
		}
		if err != nil {
			return class.System(fmt.Errorf("find the mount of %q: %w", mount.Source, err))
		}
		mount.Options = union(mount.Options, flags)
	}
	if n.network != "" && !slices.ContainsFunc(spec.Linux.Namespaces, isNetwork) {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: n.network})
	}
	return nil
}

func isNetwork(namespace specs.LinuxNamespace) bool { return namespace.Type == specs.NetworkNamespace }

// lacksGroup reports whether a mount's option names a group that does not exist
// in the namespace: the kernel refuses such a mount. A namespace with one user
// lacks the group of terminals, which owns docker's /dev/pts.
func (n userNamespace) lacksGroup(option string) bool {
	value, ok := strings.CutPrefix(option, "gid=")
	id, err := strconv.ParseUint(value, 10, 32)
	return ok && err == nil && !n.hasGroup(uint32(id))
}

// lockable are the flags that a mount keeps when another user namespace binds it:
// https://man7.org/linux/man-pages/man7/mount_namespaces.7.html.
var lockable = []struct {
	flag   int64
	option string
}{
	{unix.ST_RDONLY, "ro"},
	{unix.ST_NOSUID, "nosuid"},
	{unix.ST_NODEV, "nodev"},
	{unix.ST_NOEXEC, "noexec"},
	{unix.ST_NOATIME, "noatime"},
	{unix.ST_NODIRATIME, "nodiratime"},
}

func lockedFlags(path string) (options []string, err error) {
	var mount unix.Statfs_t
	if err := unix.Statfs(path, &mount); err != nil {
		return nil, err
	}
	for _, l := range lockable {
		if int64(mount.Flags)&l.flag != 0 { //nolint:unconvert // Flags differs between architectures
			options = append(options, l.option)
		}
	}
	return options, nil
}

// hasGroup reads the gid_map of
// https://man7.org/linux/man-pages/man7/user_namespaces.7.html.
func hasGroup(id uint32) bool {
	content, err := os.ReadFile("/proc/self/gid_map")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(content)) {
		var first, outside, count uint64
		if _, err := fmt.Sscan(line, &first, &outside, &count); err == nil && uint64(id) >= first && uint64(id) < first+count {
			return true
		}
	}
	return false
}

// detachedNetwork returns the network namespace that RootlessKit made in addition
// to the daemon's: https://github.com/rootless-containers/rootlesskit/blob/v2.3.4/docs/network.md#detaching-network-namespace.
func detachedNetwork(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	namespace := filepath.Join(stateDir, "netns")
	if _, err := os.Stat(namespace); err != nil {
		return ""
	}
	return namespace
}
