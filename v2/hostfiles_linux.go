package v2

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Runtimes make what a spec needs and the rootfs lacks: mount points, device
// nodes, the working directory. That stays in the rootfs, unless a directory
// of the host is mounted there: then the host gets it. And what is mounted in
// a directory of the host appears on the host, too, if the rootfs is shared,
// as a propagated mount needs it. Where /dev is a link, runc 1.1.5 removes and
// makes files wherever that leads.

// spareHostFiles refuses a spec with which a runtime would change the host's
// files. It is about the moment: the host may change its directories later.
func spareHostFiles(spec *specs.Spec, view *Plugin, execRoot string) error {
	f := newFootprint(view.Rootfs, strings.HasSuffix(spec.Linux.RootfsPropagation, "shared"))
	err := f.standardPlaces()
	for i := 0; i < len(spec.Mounts) && err == nil; i++ {
		err = f.mount(spec.Mounts[i], ownDirectories(view, execRoot))
	}
	if err == nil {
		err = f.devices(spec)
	}
	if err == nil {
		err = f.workDir(spec.Process.Cwd)
	}
	if err != nil {
		return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: err.Error()}
	}
	f.unmask(spec.Linux)
	return nil
}

// footprint follows what a runtime does to files, step by step.
type footprint struct {
	seen   tree
	shared bool // what is mounted in the host's directories is mounted on the host
	astray bool // the last name led where what is there can't be followed
}

func newFootprint(rootfs string, shared bool) *footprint {
	f := &footprint{shared: shared}
	f.seen = tree{rootfs: rootfs, onLink: func(link string) {
		var info unix.Statfs_t
		err := unix.Statfs(filepath.Dir(link), &info)
		f.astray = f.astray || err != nil || info.Type == unix.PROC_SUPER_MAGIC
	}}
	f.seen.onUp = func(inside string) {
		_, in := f.seen.locate(inside)
		f.astray = f.astray || in.source == "" && inside != in.point && in.point != "/"
	}
	return f
}

// standardPlaces are where the runtime works without looking for links.
func (f *footprint) standardPlaces() error {
	for _, place := range []string{"/dev", "/proc", "/sys"} {
		if at := f.seen.resolve(place); at != place {
			return fmt.Errorf("%s is a link in its rootfs, to %s: have a directory there", place, at)
		}
	}
	return nil
}

func (f *footprint) mount(mount specs.Mount, own []string) error {
	destination := mount.Destination
	point, onHost, err := f.find(destination)
	switch {
	case slices.Contains(mount.Options, "remount"):
		return fmt.Errorf("its mount at %s is a remount, which the host's mounts of the same file system would follow", destination)
	case slices.Contains(mount.Options, "tmpcopyup"):
		return fmt.Errorf("its mount at %s has the option tmpcopyup, for which the runtime uses the host's /tmp", destination)
	case isBind(mount.Type, mount.Options) && !filepath.IsAbs(mount.Source):
		return fmt.Errorf("its mount at %s has the source %q, which is below the runtime's own files: give an absolute path", destination, mount.Source)
	case err != nil:
		return fmt.Errorf("its mount at %s %w", destination, err)
	case onHost == "":
	case f.shared:
		return fmt.Errorf("its mount at %s would be mounted on the host at %s: mount it elsewhere, or do without the propagated mount", destination, onHost)
	case !present(onHost):
		return fmt.Errorf("its mount at %s needs %s, which the host does not have: make it, or mount elsewhere", destination, onHost)
	}
	if point == "/dev" && path.Clean(destination) != "/dev" {
		return fmt.Errorf("its mount at %s covers /dev: mount it there", destination)
	}
	f.seen.cover(mount, point, own)
	return nil
}

// devices looks at the nodes that the runtime makes, unless the plugin brings
// a /dev with its own.
func (f *footprint) devices(spec *specs.Spec) error {
	bringsOwn := func(m specs.Mount) bool { return path.Clean(m.Destination) == "/dev" && isBind(m.Type, m.Options) }
	if slices.ContainsFunc(spec.Mounts, bringsOwn) {
		return nil
	}
	for _, device := range spec.Linux.Devices {
		if err := f.made("its device at", device.Path); err != nil {
			return err
		}
	}
	return nil
}

func (f *footprint) workDir(directory string) error {
	if dir := path.Clean(directory); strings.HasPrefix(dir, "/dev/fd/") {
		return fmt.Errorf("its working directory %s is a link that leads anywhere", dir)
	}
	return f.made("its working directory", directory)
}

// made refuses what would have to be made on the host.
func (f *footprint) made(what, name string) error {
	_, onHost, err := f.find(name)
	if err != nil {
		return fmt.Errorf("%s %s %w", what, name, err)
	}
	if onHost != "" && !present(onHost) {
		return fmt.Errorf("%s %s needs %s, which the host does not have: make it, or use another", what, name, onHost)
	}
	return nil
}

// unmask takes out of spec what the runtime would hide, or make read-only, on
// the host, too. A plugin that mounts the host's /proc or /sys could mount it
// where nothing is hidden, as well.
func (f *footprint) unmask(linux *specs.Linux) {
	onHost := func(name string) bool {
		_, in := f.seen.locate(f.seen.resolve(name))
		return f.shared && in.kind == hostFiles
	}
	linux.MaskedPaths = slices.DeleteFunc(linux.MaskedPaths, onHost)
	linux.ReadonlyPaths = slices.DeleteFunc(slices.Clone(linux.ReadonlyPaths), onHost)
}

// magicLinks are the entries of /proc below which are links that the kernel
// follows, and names that each process sees differently.
var magicLinks = regexp.MustCompile(`^/(self|thread-self|[0-9]+)(/|$)`)

// find returns where name leads, and its place on the host if that is in a
// directory of the host.
func (f *footprint) find(name string) (point, onHost string, err error) {
	f.astray = false
	point = f.seen.resolve(name)
	at, in := f.seen.locate(point)
	rest, _ := below(point, in.point)
	switch {
	case f.astray, in.kind == processes && magicLinks.MatchString(rest):
		return "", "", errors.New("leads through links of the kernel to nobody knows where")
	case in.kind == unknown && rest != "":
		return "", "", fmt.Errorf("is in a file system, at %s, that can't be looked at", in.point)
	case in.kind == hostFiles:
		return point, at, nil
	}
	return point, "", nil
}

// cover adds what mount will hide. Directories of the plugin's own may change.
func (t *tree) cover(mount specs.Mount, point string, own []string) {
	source := filepath.Clean(mount.Source)
	switch {
	case isBind(mount.Type, mount.Options) && slices.Contains(own, source):
		t.mounts = append(t.mounts, mounted{point, source, ownFiles})
	case isBind(mount.Type, mount.Options):
		t.mounts = append(t.mounts, mounted{point, source, hostFiles})
	case mount.Type == "proc":
		t.mounts = append(t.mounts, mounted{point, "", processes})
	case slices.Contains([]string{"tmpfs", "devpts", "mqueue", "sysfs", "cgroup", "cgroup2"}, mount.Type):
		t.mounts = append(t.mounts, mounted{point, "", ownFiles})
	default:
		t.mounts = append(t.mounts, mounted{point, "", unknown})
	}
}

// treeOf is what a plugin will see with mounts.
func treeOf(view *Plugin, execRoot string, mounts []specs.Mount) tree {
	seen := tree{rootfs: view.Rootfs}
	for _, mount := range mounts {
		seen.cover(mount, seen.resolve(mount.Destination), ownDirectories(view, execRoot))
	}
	return seen
}

func ownDirectories(view *Plugin, execRoot string) []string {
	return []string{propagatedMount(view.Rootfs), socketDir(execRoot, view)}
}

func present(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
