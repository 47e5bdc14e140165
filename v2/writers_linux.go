package v2

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A plugin that has run may have changed what it can write to: a source that was
// granted by a path through such a directory could lead anywhere by the next
// start, and a device node could be another one. Mounts that a plugin makes there
// show nothing that it could not reach before, so they are followed.

// bindSource is a path of the host that a mount shows, as it is written and where
// it leads.
type bindSource struct {
	destination string
	written     string
	leads       string
	links       []string // that were followed, by their places on the host
	writable    bool
	granted     bool // a bind that the plugin was granted, with all that it shows
}

// nameFiles are the host's files of name resolution, which any plugin with a
// network has. One that can write to /etc needs no link there to reach more.
var nameFiles = []string{"/etc/hosts", "/etc/resolv.conf"}

// bindSources returns what mounts show of the host. Sources that can't be
// followed lead where they are written.
func bindSources(mounts []specs.Mount, follow func(string) *walk, canRemount bool) []bindSource {
	var sources []bindSource
	for _, mount := range mounts {
		if !isBind(mount.Type, mount.Options) {
			sources = append(sources, optionSources(mount, follow)...)
			continue
		}
		if slices.Contains(nameFiles, mount.Source) {
			continue
		}
		source := sourceOf(mount, mount.Source, follow)
		source.writable = canRemount || isWritable(mount.Options)
		source.granted = true
		sources = append(sources, source)
		if !source.writable && isWritableBelow(mount.Options) {
			sources = append(sources, mountsBelow(source)...)
		}
	}
	return sources
}

func sourceOf(mount specs.Mount, written string, follow func(string) *walk) bindSource {
	w := follow(written)
	source := bindSource{destination: mount.Destination, written: filepath.Clean(written), leads: w.at, links: w.followed}
	if w.err != nil {
		source.leads = source.written
	}
	return source
}

// mountsBelow returns the host's mounts below a source, which are writable there.
func mountsBelow(source bindSource) []bindSource {
	var mounts []bindSource
	for _, point := range mountPointsBelow(source.leads) {
		mounts = append(mounts, bindSource{destination: source.destination, written: point, leads: point, writable: true})
	}
	return mounts
}

// throughWritable returns the first link of links that is in a directory which
// one of others makes writable.
func throughWritable(links []string, others []bindSource) (link, directory string, ok bool) {
	for _, link := range links {
		for _, other := range others {
			if !other.writable {
				continue
			}
			for _, directory := range []string{other.leads, other.written} {
				if _, inside := below(link, directory); inside && link != directory {
					return link, directory, true
				}
			}
		}
	}
	return "", "", false
}

// suspicion is why a source may lead where no user granted anything.
type suspicion struct{ link, directory string }

// suspicions returns those of sources, by their index, that lead through a link
// which one of the other sources makes writable, or one of foreign.
func suspicions(sources []bindSource, foreign func() []bindSource) map[int]suspicion {
	suspects := make(map[int]suspicion)
	for i, source := range sources {
		if len(source.links) == 0 {
			continue
		}
		others := slices.Concat(sources[:i], sources[i+1:], foreign())
		if link, directory, ok := throughWritable(source.links, others); ok {
			suspects[i] = suspicion{link, directory}
		}
	}
	return suspects
}

// trusted returns where the plugin can write anyway: where its writable binds lead
// that are no suspects. Its own directory, which has its record, is none of them,
// nor are those of other plugins.
func trusted(sources []bindSource, suspects map[int]suspicion) []string {
	var directories []string
	for i, source := range sources {
		if _, suspect := suspects[i]; source.granted && source.writable && !suspect {
			directories = append(directories, source.leads)
		}
	}
	return directories
}

// checkSources refuses sources that lead through a link which a plugin may have
// made, out of all that this plugin can write to.
func (f *footprint) checkSources(sources []bindSource) error {
	suspects := suspicions(sources, f.others)
	for i, source := range sources {
		why, suspect := suspects[i]
		if !suspect || isBelowAny(source.leads, trusted(sources, suspects)) {
			continue
		}
		return fmt.Errorf("its mount at %s has the source %s, which leads to %s through %s: a plugin can write to %s and may have made that link; give the directory itself",
			source.destination, source.written, source.leads, why.link, why.directory)
	}
	return nil
}

// checkDevices refuses device nodes that a plugin can have replaced, unless they
// are what they were when they were granted.
func (f *footprint) checkDevices(view *Plugin, sources []bindSource) error {
	if view.devicePins == nil || view.PluginObj.Config.Linux.AllowAllDevices {
		return nil
	}
	for _, device := range view.PluginObj.Settings.Devices {
		if device.Path == nil || *device.Path == "" {
			continue
		}
		directory, exposed := f.exposes(*device.Path, sources)
		if !exposed {
			continue
		}
		for _, node := range pinsOf(*device.Path, view.watch) {
			if !slices.Contains(view.devicePins[*device.Path], node) {
				return fmt.Errorf("its device at %s is %s, which was not granted: a plugin can write to %s; set the path again, or install the plugin again",
					*device.Path, node, directory)
			}
		}
	}
	return nil
}

// exposes reports whether a plugin can have changed what a path of the host leads
// to, and where.
func (f *footprint) exposes(name string, sources []bindSource) (directory string, exposed bool) {
	w := f.host().walk(name)
	all := slices.Concat(sources, f.others())
	if _, directory, ok := throughWritable(w.followed, all); ok {
		return directory, true
	}
	for _, source := range all {
		if _, ok := below(w.at, source.leads); ok && source.writable {
			return source.leads, true
		}
	}
	return "", false
}

func isBelowAny(name string, directories []string) bool {
	return slices.ContainsFunc(directories, func(directory string) bool {
		_, ok := below(name, directory)
		return ok
	})
}

// others returns what other plugins can write to. It is asked for once, and only
// if there are links or devices. A plugin that can write to the host's root
// needs no link to reach more.
func (f *footprint) others() []bindSource {
	if f.foreign == nil {
		f.foreign = []bindSource{}
		_ = f.seen.onLook("", "") // what follows waits for no place of this plugin's
		for _, directory := range f.askOthers() {
			if directory == "/" {
				continue
			}
			f.foreign = append(f.foreign, bindSource{written: directory, leads: directory, writable: true})
		}
	}
	return f.foreign
}

// WritableDirectories returns the directories of the host that the plugin can
// write to while it runs: its own, and what its mounts show, where that leads. A
// source in a file system that does not answer within a second leads where it is
// written.
func (p *Plugin) WritableDirectories() []string {
	view := p.Clone()
	directories := []string{filepath.Dir(view.Rootfs)}
	mounts, err := ownMounts(view)
	if err != nil {
		return directories // it can't be run
	}
	sources := bindSources(mounts, followOthers(), canRemount(view))
	suspects := suspicions(sources, func() []bindSource { return nil })
	for i, source := range sources {
		if _, suspect := suspects[i]; source.writable && !suspect {
			directories = append(directories, source.leads)
		}
	}
	return directories
}

// followOthers follows the sources of a plugin that is not the one to be started.
// What can't be followed in time must not keep that one.
func followOthers() func(name string) *walk {
	budget := maxSpecLookBytes
	return func(name string) *walk {
		left := budget
		w, err := attend(context.Background(), lookPatience, func(w *watch) (*walk, error) {
			return tree{budget: &left, onLook: w.look}.walk(name), nil
		})
		if err != nil {
			return &walk{at: filepath.Clean(name), err: err}
		}
		budget = left
		return w
	}
}

// canRemount reports whether the plugin can make its read-only mounts writable.
func canRemount(view *Plugin) bool {
	return slices.Contains(knownCapabilities(view.PluginObj.Config.Linux.Capabilities), "CAP_SYS_ADMIN")
}
