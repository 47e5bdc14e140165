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
)

// spareHostFiles refuses a spec with which a runtime would change the host's
// files; see the package's section on them. It returns the directories for
// sockets that the host lacks and the runtime needs. It is about the moment:
// the host may change its directories later.
func spareHostFiles(spec *specs.Spec, view *Plugin, execRoot string) (missing []string, err error) {
	f := newFootprint(spec, view, execRoot)
	err = f.follow(spec)
	if err == nil {
		err = f.spareGrants(spec, view)
	}
	if err != nil {
		return nil, ErrInvalidSpec{Name: view.PluginObj.Name, Reason: err.Error()}
	}
	f.unmask(spec.Linux)
	return f.missing, nil
}

// footprint follows what a runtime does to files, step by step.
type footprint struct {
	seen    tree
	own     []string // directories of the host that are the plugin's
	shared  bool     // what is mounted in the host's directories is mounted on the host
	missing []string // directories for sockets that are to be made on the host

	askOthers func() []string // for directories that other plugins can write to
	foreign   []bindSource    // these, once they were asked for
}

// maxSpecLookBytes bounds what the kernel is asked for while one spec is made.
const maxSpecLookBytes = 4 << 20

func newFootprint(spec *specs.Spec, view *Plugin, execRoot string) *footprint {
	budget := maxSpecLookBytes
	f := &footprint{
		seen:   tree{rootfs: view.Rootfs, budget: &budget, onLook: view.watch.look},
		shared: strings.HasSuffix(spec.Linux.RootfsPropagation, "shared"),

		askOthers: view.othersWritable(),
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

// spareGrants refuses what was granted and may lead elsewhere by now.
func (f *footprint) spareGrants(spec *specs.Spec, view *Plugin) error {
	sources := bindSources(spec.Mounts, f.host().walk, canRemount(view))
	own := filepath.Dir(view.Rootfs)
	for i := range sources {
		if isBelowAny(sources[i].leads, append(f.own, own)) {
			sources[i].granted = false // its own by nature
		}
	}
	sources = append(sources, bindSource{written: own, leads: own, writable: true})
	if err := f.checkSources(sources); err != nil {
		return err
	}
	return f.checkDevices(view, sources)
}

// standardPlace refuses links where the runtime works without looking for them.
func (f *footprint) standardPlace(place string) error {
	at, err := f.seen.resolve(place)
	if err != nil {
		return fmt.Errorf("%s %w", place, err)
	}
	if at != place {
		return fmt.Errorf("%s is a link in its rootfs, to %s: have a directory there", place, at)
	}
	return nil
}

// mount refuses a mount that changes the host's files, and covers its place
// with what is mounted.
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
		return errors.New("covers /dev: mount it there")
	case at.inside == "/dev" && mount.Type == "devtmpfs" && !isBind(mount.Type, mount.Options):
		return errors.New("shows the host's devices, among which the runtime would make its own: bind /dev instead")
	case at.inside != clean && slices.Contains(unresolved, mount.Type) && !isBind(mount.Type, mount.Options):
		return fmt.Errorf("leads to %s, and is of type %s: mount it there", at.inside, mount.Type)
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
// without looking for links on the way, on the host where those lead there.
var unresolved = []string{"proc", "sysfs", "cgroup", "cgroup2"}

// checkKind refuses mounts that reach out wherever they are.
func (f *footprint) checkKind(mount specs.Mount) error {
	switch {
	case slices.Contains(mount.Options, "remount"):
		return errors.New("is a remount, which the host's mounts of the same file system would follow")
	case f.shared && slices.Contains(mount.Options, "tmpcopyup"):
		return errors.New("has the option tmpcopyup, for which the runtime mounts in the host's /tmp: do without it, or without the propagated mount")
	case isBind(mount.Type, mount.Options) && !filepath.IsAbs(mount.Source):
		return fmt.Errorf("has the source %q, which is below the runtime's own files: give an absolute path", mount.Source)
	}
	if option, relative := relativeLayer(mount.Options); relative && mount.Type == "overlay" {
		return fmt.Errorf("has the option %s, which is below the runtime's own files: give an absolute path", option)
	}
	return nil
}

// mountOnHost refuses what would show on the host. The runtime makes mount
// points that are missing; here only the directory for sockets is made.
func (f *footprint) mountOnHost(mount specs.Mount, at place) error {
	switch {
	case f.shared:
		return fmt.Errorf("would be mounted on the host at %s: mount it elsewhere, or do without the propagated mount", at.onHost)
	case present(at.onHost):
		return nil
	case mount.Destination == pluginSockets:
		f.missing = append(f.missing, at.onHost)
		return nil
	}
	return fmt.Errorf("needs %s, which the host does not have: make it, or mount elsewhere", at.onHost)
}

// bringsDevices reports whether the plugin mounts a /dev with nodes of its own,
// to which the runtime adds none.
func bringsDevices(spec *specs.Spec) bool {
	return slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return path.Clean(m.Destination) == "/dev" && isBind(m.Type, m.Options)
	})
}

// workDir refuses a directory that is made on the host, or that is a file of
// the runtime's own.
func (f *footprint) workDir(directory string) error {
	at, err := f.find(directory)
	if err != nil {
		return err
	}
	for _, link := range deviceLinks {
		if _, ok := below(at.inside, link); ok {
			return errors.New("is a link that leads anywhere")
		}
	}
	return f.made(directory)
}

// deviceLinks are what the runtime makes in a plugin's /dev, for its own files
// and for the kernel's.
var deviceLinks = []string{"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core", "/dev/ptmx"}

// made refuses what would have to be made on the host.
func (f *footprint) made(name string) error {
	at, err := f.find(name)
	if err != nil {
		return err
	}
	if at.ofHost() && !present(at.onHost) {
		return fmt.Errorf("needs %s, which the host does not have: make it, or use another", at.onHost)
	}
	return nil
}

// unmask takes out of spec what the runtime would hide, or make read-only, on
// the host as well. A plugin that mounts the host's /proc or /sys could mount
// it where nothing is hidden, anyway.
func (f *footprint) unmask(linux *specs.Linux) {
	onHost := func(name string) bool {
		inside, _ := f.seen.resolve(name)
		_, in := f.seen.locate(inside)
		return f.shared && in.kind == hostFiles
	}
	linux.MaskedPaths = slices.DeleteFunc(linux.MaskedPaths, onHost)
	linux.ReadonlyPaths = slices.DeleteFunc(slices.Clone(linux.ReadonlyPaths), onHost)
}

// place is where a name of the plugin's leads.
type place struct {
	inside string
	onHost string // empty where the files are not the host's
}

func (p place) ofHost() bool { return p.onHost != "" }

// magicLinks are the entries of /proc below which are links that the kernel
// follows, and names that each process sees differently.
var magicLinks = regexp.MustCompile(`^/(self|thread-self|[0-9]+)(/|$)`)

// find returns where name leads, and refuses what can't be followed.
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
		return place{}, fmt.Errorf("is in a file system, at %s, that can't be looked at", in.point)
	case in.kind == hostFiles:
		return place{inside: inside, onHost: onHost}, nil
	}
	return place{inside: inside}, nil
}

// ownFileSystems show nothing of the host's that names below them could change.
var ownFileSystems = []string{"tmpfs", "devpts", "mqueue", "sysfs", "cgroup"}

// cover adds what mount will hide at point. Directories of the plugin's own may
// change.
func (f *footprint) cover(mount specs.Mount, point string) {
	covered := mounted{point: point, kind: unknown}
	switch {
	case isBind(mount.Type, mount.Options):
		source, err := f.onHost(mount.Source)
		switch {
		case err != nil: // the kernel may follow what can't be followed here
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

// onHost returns where a path of the host leads. The kernel follows links in a
// bind's source.
func (f *footprint) onHost(name string) (string, error) {
	return f.host().resolve(name)
}

// host is the host's own tree, within the same bounds.
func (f *footprint) host() tree { return tree{budget: f.seen.budget, onLook: f.seen.onLook} }

// treeOf is what a plugin will see with mounts.
func treeOf(spec *specs.Spec, view *Plugin, execRoot string, mounts []specs.Mount) tree {
	f := newFootprint(spec, view, execRoot)
	for _, mount := range mounts {
		inside, _ := f.seen.resolve(mount.Destination)
		f.cover(mount, inside)
	}
	return f.seen
}

func present(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
