// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// spareHostFiles refuses a spec that would make a runtime change the host's files;
// see the package's section about them. It returns the directories for sockets
// that the host lacks and the runtime needs. The result holds at the time of the
// call: the host's directories can change later.
func spareHostFiles(spec *specs.Spec, view *Plugin, execRoot string) (missing []string, err error) {
	f := newFootprint(spec, view, execRoot)
	err = f.follow(spec)
	if err == nil {
		err = cmp.Or(f.spareGrants(spec, view), f.lost)
	}
	var changed *ChangedGrantError
	switch {
	case errors.As(err, &changed):
		return nil, &InvalidSpecError{Name: view.PluginObj.Name, Reason: "it may not be what was granted", Err: changed}
	case err != nil:
		return nil, &InvalidSpecError{Name: view.PluginObj.Name, Reason: err.Error()}
	}
	f.unmask(spec.Linux)
	return f.missing, nil
}

// footprint follows the file operations of a runtime, step by step.
type footprint struct {
	seen    tree
	host    tree     // the host's own tree
	own     []string // the plugin's directories on the host
	shared  bool     // mounts in the host's directories propagate to the host
	missing []string // directories for sockets that the caller must make on the host
	lost    error    // the source of a mount is beyond the bounds
}

func newFootprint(spec *specs.Spec, view *Plugin, execRoot string) *footprint {
	budget, hostBudget := maxSpecLookBytes, maxGrantLookBytes
	f := &footprint{
		seen:   tree{rootfs: view.Rootfs, budget: &budget, onLook: view.watch.look},
		host:   tree{budget: &hostBudget, onLook: view.watch.look},
		shared: strings.HasSuffix(spec.Linux.RootfsPropagation, "shared"),
	}
	for _, own := range []string{socketDir(execRoot, view), propagatedMount(view.Rootfs)} {
		if resolved, err := f.onHost(own); err == nil {
			f.own = append(f.own, resolved)
		}
	}
	return f
}

// follow takes the runtime's steps in the runtime's order.
func (f *footprint) follow(spec *specs.Spec) error {
	for _, place := range []string{"/dev", "/proc", "/sys"} {
		if err := f.standardPlace(place); err != nil {
			return err
		}
	}
	for _, mount := range spec.Mounts {
		if err := f.mount(mount); err != nil {
			return fmt.Errorf("its mount at %s %w", mount.Destination, err)
		}
	}
	if !bringsDevices(spec) {
		for _, device := range spec.Linux.Devices {
			if err := f.made(device.Path); err != nil {
				return fmt.Errorf("its device at %s %w", device.Path, err)
			}
		}
	}
	if err := f.workDir(spec.Process.Cwd); err != nil {
		return fmt.Errorf("its working directory %s %w", path.Clean(spec.Process.Cwd), err)
	}
	return nil
}

// standardPlace refuses a link at a place that the runtime uses without checking
// for links.
func (f *footprint) standardPlace(place string) error {
	at, err := f.seen.resolve(place)
	if err != nil {
		return fmt.Errorf("%s %w", place, err)
	}
	if at != place {
		return fmt.Errorf("%s in its rootfs is a link to %s: replace it by a directory", place, at)
	}
	return nil
}

// mount refuses a mount that changes the host's files, and adds it to the tree.
func (f *footprint) mount(mount specs.Mount) error {
	if err := f.checkKind(mount); err != nil {
		return err
	}
	at, err := f.find(mount.Destination)
	if err != nil {
		return err
	}
	clean := path.Clean(mount.Destination)
	switch {
	case at.inside == "/dev" && clean != "/dev":
		return errors.New("covers /dev through a link: mount it at /dev")
	case at.inside == "/dev" && mount.Type == "devtmpfs" && !isBind(mount.Type, mount.Options):
		return errors.New("shows the host's devices, and the runtime would make device nodes there: bind /dev instead")
	case at.inside != clean && slices.Contains(unresolved, mount.Type) && !isBind(mount.Type, mount.Options):
		return fmt.Errorf("leads to %s through a link, which is refused for type %s: mount it at that place", at.inside, mount.Type)
	}
	if at.ofHost() {
		if err := f.mountOnHost(mount, at); err != nil {
			return err
		}
	}
	f.cover(mount, at.inside)
	return nil
}

// unresolved are types of mounts for which runtimes make directories and links
// without checking for links on the way. Such a link can lead to the host.
var unresolved = []string{"proc", "sysfs", "cgroup", "cgroup2"}

// checkKind refuses mounts that affect the host at any destination.
func (f *footprint) checkKind(mount specs.Mount) error {
	switch {
	case slices.Contains(mount.Options, "remount"):
		return errors.New("is a remount, which would change the host's mounts of the same file system")
	case f.shared && slices.Contains(mount.Options, "tmpcopyup"):
		return errors.New("has the option tmpcopyup, for which the runtime mounts in the host's /tmp: remove it, or the propagated mount")
	case isBind(mount.Type, mount.Options) && !filepath.IsAbs(mount.Source):
		return fmt.Errorf("has the source %q, which is below the runtime's own files: use an absolute path", mount.Source)
	}
	if option, relative := relativeLayer(mount.Options); relative && mount.Type == "overlay" {
		return fmt.Errorf("has the option %s, which is below the runtime's own files: use an absolute path", option)
	}
	return nil
}

// mountOnHost refuses a mount that would change the host. The runtime would make
// a missing mount point; only the directory for sockets is allowed.
func (f *footprint) mountOnHost(mount specs.Mount, at place) error {
	switch {
	case f.shared:
		return fmt.Errorf("would be mounted on the host at %s: mount it elsewhere, or remove the propagated mount", at.onHost)
	case lexists(at.onHost):
		return nil
	case mount.Destination == pluginSockets:
		f.missing = append(f.missing, at.onHost)
		return nil
	}
	return fmt.Errorf("needs %s, which the host does not have: create it, or mount elsewhere", at.onHost)
}

// bringsDevices reports whether the plugin binds a /dev. The runtime adds no nodes
// there.
func bringsDevices(spec *specs.Spec) bool {
	return slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return path.Clean(m.Destination) == "/dev" && isBind(m.Type, m.Options)
	})
}

// workDir refuses a working directory that the runtime would make on the host, or
// that leads through one of the runtime's own files.
func (f *footprint) workDir(directory string) error {
	at, err := f.find(directory)
	if err != nil {
		return err
	}
	for _, link := range deviceLinks {
		if _, ok := below(at.inside, link); ok {
			return errors.New("leads through a link of /dev to an unknown place: choose another directory")
		}
	}
	return f.made(directory)
}

// deviceLinks are the links that the runtime makes in a plugin's /dev, to its own
// files and to the kernel's.
var deviceLinks = []string{"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core", "/dev/ptmx"}

// made refuses a path that the runtime would have to make on the host.
func (f *footprint) made(name string) error {
	at, err := f.find(name)
	if err != nil {
		return err
	}
	if at.ofHost() && !lexists(at.onHost) {
		return fmt.Errorf("needs %s, which the host does not have: create it, or use another path", at.onHost)
	}
	return nil
}

// unmask removes the masked and read-only paths that the runtime would also mask
// or make read-only on the host. This loses no protection: a plugin that mounts
// the host's /proc or /sys can mount it at an unmasked place.
func (f *footprint) unmask(linux *specs.Linux) {
	onHost := func(name string) bool {
		inside, _ := f.seen.resolve(name)
		_, in := f.seen.locate(inside)
		return f.shared && in.kind == hostFiles
	}
	linux.MaskedPaths = slices.DeleteFunc(linux.MaskedPaths, onHost)
	linux.ReadonlyPaths = slices.DeleteFunc(slices.Clone(linux.ReadonlyPaths), onHost)
}

// place is the target of a path inside the plugin.
type place struct {
	inside string
	onHost string // empty unless the files are the host's
}

func (p place) ofHost() bool { return p.onHost != "" }

// magicLinks are the entries of /proc with magic links below them, and with names
// that differ between processes.
var magicLinks = regexp.MustCompile(`^/(self|thread-self|[0-9]+)(/|$)`)

// find returns the target of name, and refuses a name that can't be followed.
func (f *footprint) find(name string) (place, error) {
	inside, err := f.seen.resolve(name)
	if err != nil {
		return place{}, err
	}
	onHost, in := f.seen.locate(inside)
	rest, _ := below(inside, in.point)
	switch {
	case in.kind == processes && magicLinks.MatchString(rest):
		return place{}, errKernelLink
	case in.kind == unknown && rest != "":
		return place{}, fmt.Errorf("is in the file system at %s, which can't be inspected before the start", in.point)
	case in.kind == hostFiles:
		return place{inside: inside, onHost: onHost}, nil
	}
	return place{inside: inside}, nil
}

// ownFileSystems are types without files of the host that a mount or a directory
// below them could change.
var ownFileSystems = []string{"tmpfs", "devpts", "mqueue", "sysfs", "cgroup"}

// cover adds mount to the tree at point. The runtime may change the plugin's own
// directories. The files of a source that can't be followed are unknown.
func (f *footprint) cover(mount specs.Mount, point string) {
	covered := mounted{point: point, kind: unknown}
	switch {
	case isBind(mount.Type, mount.Options):
		source, err := f.onHost(mount.Source)
		switch {
		case errors.Is(err, errTooFar):
			f.lost = fmt.Errorf("its mount at %s has the source %s, which can't be followed: it %w", mount.Destination, mount.Source, err)
		case err != nil: // the kernel may still follow it
		case slices.Contains(f.own, source):
			covered.source, covered.kind = source, ownFiles
		default:
			covered.source, covered.kind = source, hostFiles
		}
	case mount.Type == "proc":
		covered.kind = processes
	case slices.Contains(ownFileSystems, mount.Type):
		covered.kind = ownFiles
	}
	f.seen.mounts = append(f.seen.mounts, covered)
}

// onHost returns the target of a path of the host. The kernel follows links in
// the source of a bind.
func (f *footprint) onHost(name string) (string, error) {
	return f.host.resolve(name)
}

// treeOf returns the file system that a plugin will see with mounts.
func treeOf(spec *specs.Spec, view *Plugin, execRoot string, mounts []specs.Mount) tree {
	f := newFootprint(spec, view, execRoot)
	for _, mount := range mounts {
		inside, _ := f.seen.resolve(mount.Destination)
		f.cover(mount, inside)
	}
	return f.seen
}

func lexists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
