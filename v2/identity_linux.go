// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A file of the host has several paths if its file system is mounted more than
// once, or parts of it are. Its identity is the same for all of them: the numbers
// of the file system's device and the path in the file system, "8:1:/data". The
// kernel's list of mounts yields it, without a request to any file system.
//
// Btrfs shows one device for all subvolumes. An overlay is a file system with
// different files than its layers. The path of a directory that was deleted while
// it was mounted ends with //deleted; no link can be made there any more.

// mountTable is the list of the mounts that this process can reach, see
// https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html. The zero value
// reads the list when it is first needed. An unreadable list counts as empty:
// identities are paths then.
type mountTable struct {
	mounts []*mountinfo.Info // nil before it is read
	// on are the mounts by their parents and mount points. Of several mounts at one
	// place on one parent, it has the first. It is nil before it is needed.
	on map[mountPoint]*mountinfo.Info
	// sorted are the mounts by their mount points. It is nil before it is needed.
	sorted []*mountinfo.Info
	// roots are the identities of the mounts' own directories, in the order of mounts. It
	// is nil before it is needed.
	roots []string
}

// mountPoint is a place on the mount with an ID.
type mountPoint struct {
	parent int
	place  string
}

// noParent is the parent of mounts with a parent that is not listed.
const noParent = -1

func (t *mountTable) all() []*mountinfo.Info {
	if t.mounts == nil {
		t.mounts, _ = mountinfo.GetMounts(nil)
		t.mounts = append([]*mountinfo.Info{}, t.mounts...)
	}
	return t.mounts
}

// at returns the mount that a place without links is on; nil if it is not listed.
// Like the kernel it goes down from the root, so that covered mounts don't count.
func (t *mountTable) at(place string) *mountinfo.Info {
	var reached *mountinfo.Info
	for next := t.next(noParent, filepath.Clean(place)); next != nil; next = t.next(reached.ID, filepath.Clean(place)) {
		reached = next
	}
	return reached
}

// next returns the first mount on a parent, on the way to place.
func (t *mountTable) next(parent int, place string) *mountinfo.Info {
	on := t.byParent()
	for end := range place {
		if end > 0 && place[end] != '/' {
			continue
		}
		if info := on[mountPoint{parent, place[:max(end, 1)]}]; info != nil {
			return info
		}
	}
	return on[mountPoint{parent, place}]
}

func (t *mountTable) byParent() map[mountPoint]*mountinfo.Info {
	if t.on != nil {
		return t.on
	}
	ids := make(map[int]bool)
	for _, info := range t.all() {
		ids[info.ID] = true
	}
	t.on = make(map[mountPoint]*mountinfo.Info)
	for _, info := range t.all() {
		key := mountPoint{info.Parent, info.Mountpoint}
		if info.Parent == info.ID || !ids[info.Parent] {
			key.parent = noParent
		}
		if t.on[key] == nil {
			t.on[key] = info
		}
	}
	return t.on
}

// id returns the identity of a place without links, whether it exists or not. It
// is a path after a colon if the place is on no mount of the list.
func (t *mountTable) id(place string) string {
	place = filepath.Clean(place)
	on := t.at(place)
	if on == nil {
		return identity("", "/", place)
	}
	rest, _ := below(place, on.Mountpoint)
	return identity(deviceOf(on), on.Root, rest)
}

// identity joins the parts of an identity. The root of a file system has an empty
// path, so that below works for identities as well.
func identity(device, root, rest string) string {
	path := strings.TrimSuffix(root, "/") + "/" + strings.TrimPrefix(rest, "/")
	return device + ":" + strings.TrimSuffix(path, "/")
}

func deviceOf(info *mountinfo.Info) string { return fmt.Sprintf("%d:%d", info.Major, info.Minor) }

// directory is a directory of the host in which links can be made.
type directory struct {
	id, name string
	readOnly bool // the host's mount is read-only, and a bind of it usually remains so
}

// directories returns a place, and all mounts at or below it. place can also be
// the identity of a whole file system.
func (t *mountTable) directories(place string) []directory {
	if !filepath.IsAbs(place) {
		return []directory{{id: place, name: t.nameOf(place)}}
	}
	return append([]directory{t.directory(place)}, t.below(place)...)
}

// directory returns a place without the mounts below it.
func (t *mountTable) directory(place string) directory {
	return directory{t.id(place), place, isReadOnly(t.at(place))}
}

func isReadOnly(mount *mountinfo.Info) bool {
	return mount != nil && slices.Contains(strings.Split(mount.Options, ","), "ro")
}

// below returns the mounts below a place.
func (t *mountTable) below(place string) []directory {
	var directories []directory
	for _, info := range t.mountsBelow(place) {
		directories = append(directories, directory{identity(deviceOf(info), info.Root, ""), info.Mountpoint, isReadOnly(info)})
	}
	return directories
}

// mountsBelow compares few mounts, because a plugin can make many.
func (t *mountTable) mountsBelow(place string) []*mountinfo.Info {
	if t.sorted == nil {
		t.sorted = slices.Clone(t.all())
		slices.SortStableFunc(t.sorted, func(a, b *mountinfo.Info) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	}
	prefix := strings.TrimSuffix(place, "/") + "/"
	start := sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].Mountpoint > prefix })
	rest := t.sorted[start:]
	return rest[:sort.Search(len(rest), func(i int) bool { return !strings.HasPrefix(rest[i].Mountpoint, prefix) })]
}

// names returns the paths of an identity, the shortest first.
func (t *mountTable) names(id string) []string {
	if t.roots == nil {
		for _, info := range t.all() {
			t.roots = append(t.roots, identity(deviceOf(info), info.Root, ""))
		}
	}
	var names []string
	for i, info := range t.all() {
		if rest, ok := below(id, t.roots[i]); ok {
			names = append(names, filepath.Join(info.Mountpoint, rest))
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return slices.Compact(names)
}

// nameOf returns a path of an identity, or the identity if it has none.
func (t *mountTable) nameOf(id string) string {
	if names := t.names(id); len(names) > 0 {
		return names[0]
	}
	return id
}

// isRoot reports whether the host's root directory is at or below a directory, or in
// a file system, with a name.
func (t *mountTable) isRoot(name string) bool {
	if filepath.IsAbs(name) {
		name = t.id(name)
	}
	return t.holds(name, "/")
}

// holds reports whether a place is at or below the directory with an identity.
func (t *mountTable) holds(id, place string) bool {
	_, ok := below(t.id(place), id)
	return ok
}

// volatile are file systems that lose links and nodes at a reboot of the host.
var volatile = []string{
	"tmpfs", "ramfs", "devtmpfs", "devpts", "mqueue", "hugetlbfs", "proc", "sysfs", "cgroup", "cgroup2",
	"securityfs", "debugfs", "tracefs", "configfs", "bpf", "nsfs", "fusectl", "rpc_pipefs", "binfmt_misc",
}

// endsWithBoot reports whether the files of a directory, and of all file systems
// below it, end with this boot of the host.
func (t *mountTable) endsWithBoot(place string) bool {
	if slices.ContainsFunc(t.mountsBelow(place), func(info *mountinfo.Info) bool { return !slices.Contains(volatile, info.FSType) }) {
		return false
	}
	on := t.at(place)
	return on != nil && slices.Contains(volatile, on.FSType)
}

// fileSystems returns the identities of the file systems that a mount of a type and
// a source shows. A block device's numbers are those of its file system, whether
// the host has mounted it or not. Other file systems, such as btrfs, have numbers
// that only their mounts show; these mounts have the same source or device.
func (t *mountTable) fileSystems(kind, path string, follow func(string) *walk) []string {
	var ids []string
	device := deviceAt(path, follow)
	if device != "" {
		ids = append(ids, device+":")
	}
	for _, info := range t.all() {
		if info.FSType != kind || info.Major != 0 {
			continue
		}
		if info.Source == path || device != "" && deviceAt(info.Source, follow) == device {
			ids = append(ids, deviceOf(info)+":")
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// deviceAt returns the numbers of the block device at a path, "8:1"; empty if
// there is none.
func deviceAt(path string, follow func(string) *walk) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	w := follow(path)
	var stat unix.Stat_t
	if w.err != nil || unix.Stat(w.at, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
}
