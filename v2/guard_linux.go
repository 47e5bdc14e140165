// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A plugin that has run may have changed the directories that it can write to. A
// granted source with a path through such a directory could lead to any place at
// the next start, and a device node could be replaced. Mounts that a plugin makes
// there show only files that it could reach before, so they are followed.

// guard refuses granted sources and devices that a plugin may have changed.
type guard struct {
	view    *Plugin
	look    hostLook
	budget  *int // bytes that look may still ask the kernel for
	sources []source
	own     []string // the plugin's own directories, which need no grant
	exposed *exposed // nil before it is needed
}

// exposed are the directories in which links and nodes are suspect, besides those
// of the plugin's own mounts.
type exposed struct {
	now, ever []directory
	damaged   string
}

// suspicion is the reason why a source may have a target that no user granted.
type suspicion struct {
	link, directory string
	granted         string // the former target, if it has changed
	damaged         string // the list of directories, if it is damaged
	lost            error  // why the path can't be followed
}

// errTooMuch reports paths that together exceed the bound of one check.
var errTooMuch = errors.New("the paths of its mounts and devices can't all be followed: they have too many symbolic links or components, or are too long: shorten them")

// spareGrants refuses granted sources and devices that may lead elsewhere now.
func (f *footprint) spareGrants(spec *specs.Spec, view *Plugin) error {
	return f.newGuard(spec, view, maxGrantLookBytes).check()
}

// newGuard has a budget of its own: a plugin can spend the footprint's by the links
// in its rootfs.
func (f *footprint) newGuard(spec *specs.Spec, view *Plugin, budget int) *guard {
	look := hostLook{tree{budget: &budget, onLook: f.host.onLook, likeRuntime: true}.walk, new(mountTable)}
	g := &guard{view: view, look: look, budget: &budget, own: append(f.own, filepath.Dir(view.Rootfs))}
	g.sources = g.look.sources(spec.Mounts, canRemount(view))
	asked := sourcesAsked(view)
	for i, source := range g.sources {
		if slices.Contains(nameFiles, source.path) && !asked[source.destination] {
			g.sources[i].byDaemon, g.sources[i].granted = true, false
		}
	}
	return g
}

// check also refuses paths beyond the bounds, where a link may be unseen.
func (g *guard) check() error {
	if err := g.checkSources(); err != nil {
		return err
	}
	if err := g.checkDevices(); err != nil {
		return err
	}
	if *g.budget < 0 {
		return errTooMuch
	}
	return nil
}

// sourcesAsked returns the destinations of the plugin's own mounts.
func sourcesAsked(view *Plugin) map[string]bool {
	asked := make(map[string]bool)
	mounts, _ := ownMounts(view) // without an error, or there is no spec
	for _, mount := range mounts {
		asked[mount.Destination] = true
	}
	return asked
}

// checkSources refuses sources that lead, through a link that a plugin may have
// made, out of the directories that this plugin can write to. Such a link may also
// be beyond the bounds.
func (g *guard) checkSources() error {
	suspects := make(map[int]suspicion)
	for i := range g.sources {
		if why, suspect := g.suspect(i); suspect {
			suspects[i] = why
		}
	}
	for i, source := range g.sources {
		why, suspect := suspects[i]
		switch {
		case suspect && (source.lost != nil || !g.isTrusted(source.at, suspects)):
			return source.refusal(why)
		case source.lost != nil && !errors.Is(source.lost, errKernelLink):
			return fmt.Errorf("its mount at %s has the source %s, which can't be followed: it %w", source.destination, source.path, source.lost)
		}
	}
	return nil
}

// suspect reports whether a source leads through a link that another mount of the
// plugin, or a plugin that is still installed, can have made. If the source has
// another target than when it was granted, a link of any plugin is suspect. Links
// that operators switch are in other directories.
func (g *guard) suspect(i int) (why suspicion, suspect bool) {
	source := g.sources[i]
	if len(source.links) == 0 {
		return why, false
	}
	granted, known := g.view.sourcePins[source.path]
	changed := known && (granted != source.at || source.lost != nil)
	why, suspect = g.through(source, g.writers(i))
	if !suspect && changed {
		why, suspect = g.through(source, g.exposures().ever)
	}
	if damaged := g.exposures().damaged; damaged != "" && !suspect && changed {
		why, suspect = g.through(source, g.holders(source.links))
		why.damaged = damaged
	}
	if changed {
		why.granted = granted
	}
	return why, suspect
}

// through returns the first link on the way of a source that is in one of the
// directories. A plugin that can write to /etc needs no link there, in a path that
// the daemon names, to reach more.
func (g *guard) through(source source, directories []directory) (why suspicion, ok bool) {
	for _, link := range source.links {
		holder := g.look.table.id(filepath.Dir(link))
		for _, directory := range directories {
			if _, inside := below(holder, directory.id); !inside || source.byDaemon && g.look.table.holds(directory.id, filepath.Dir(source.path)) {
				continue
			}
			return suspicion{link: link, directory: directory.name}, true
		}
	}
	return why, false
}

// holders returns the directories of links.
func (g *guard) holders(links []string) []directory {
	var holders []directory
	for _, link := range links {
		holders = append(holders, g.look.table.directory(filepath.Dir(link)))
	}
	return holders
}

// writers returns the directories that the plugin's mounts, except one, and other
// plugins can write to.
func (g *guard) writers(except int) []directory {
	var all []directory
	for i, source := range g.sources {
		if i != except {
			all = append(all, source.directories(g.look.table)...)
		}
	}
	all = append(all, g.look.table.directories(filepath.Dir(g.view.Rootfs))...)
	return append(all, g.exposures().now...)
}

// exposures asks once, and only if there are links or devices.
func (g *guard) exposures() *exposed {
	if g.exposed != nil {
		return g.exposed
	}
	all := g.view.exposed()
	g.exposed = &exposed{damaged: all.Damaged, now: g.directories(all.Now), ever: g.directories(all.Ever)}
	return g.exposed
}

// directories returns directories without the host's root: a plugin that can write
// there needs no link to reach more, and could have changed any file.
func (g *guard) directories(names []string) []directory {
	var all []directory
	above := ""
	for _, name := range topDown(names) {
		if _, listed := below(name, above); above != "" && listed || g.look.table.isRoot(name) {
			continue // it is listed with the directory above, or all mounts are below it
		}
		above = name
		for _, directory := range g.look.table.directories(name) {
			if !g.look.table.holds(directory.id, "/") {
				all = append(all, directory)
			}
		}
	}
	return all
}

// topDown returns clean names, each directory before those below it.
func topDown(names []string) []string {
	sorted := make([]string, len(names))
	for i, name := range names {
		sorted[i] = filepath.Clean(name)
	}
	slices.SortFunc(sorted, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
	return sorted
}

// isTrusted reports whether a place is in a directory that the plugin can write to
// by right: the targets of its writable binds, except suspects and what the host has
// mounted read-only. The plugin's own directory, with its record, is not among them,
// nor are those of other plugins.
func (g *guard) isTrusted(place string, suspects map[int]suspicion) bool {
	for i, source := range g.sources {
		if _, suspect := suspects[i]; suspect || source.lost != nil || !source.granted || !source.writable || g.isOwn(source.at) {
			continue
		}
		for _, directory := range source.directories(g.look.table) {
			if !directory.readOnly && g.look.table.holds(directory.id, place) {
				return true
			}
		}
	}
	return false
}

func (g *guard) isOwn(place string) bool {
	return slices.ContainsFunc(g.own, func(own string) bool { return g.look.table.holds(g.look.table.id(own), place) })
}

// refusal is the error for a source with a target that no user granted.
func (s source) refusal(why suspicion) error {
	at := s.at
	if s.lost != nil {
		at = "a place that can't be determined"
	}
	if why.granted != "" {
		return &ChangedGrantError{
			Subject: "mount at " + s.destination, Path: s.path, Link: why.link, Directory: why.directory,
			Granted: why.granted, Found: at, Damaged: why.damaged,
		}
	}
	fix := "name the directory itself"
	if s.byDaemon {
		fix = "inspect that link, and replace it by a file"
	}
	return fmt.Errorf("its mount at %s has the source %s, which leads to %s through %s: a plugin can write to %s and may have made that link; %s",
		s.destination, filepath.Clean(s.path), at, why.link, why.directory, fix)
}

// checkDevices refuses device nodes that a plugin can have replaced, unless they
// equal the granted ones, or are the kernel's own.
func (g *guard) checkDevices() error {
	if g.view.PluginObj.Config.Linux.AllowAllDevices {
		return nil
	}
	for _, device := range g.view.PluginObj.Settings.Devices {
		if device.Path == nil {
			continue
		}
		granted, known := g.view.devicePins[*device.Path]
		if !known {
			continue
		}
		why, byLink, exposed := g.exposes(*device.Path)
		if !exposed {
			continue
		}
		for _, node := range nodesAt(*device.Path, g.view.watch) {
			if slices.Contains(granted, node.pin) || !byLink && node.isKernels(g.look.table) {
				continue
			}
			if why.lost != nil {
				return fmt.Errorf("its device %s led to %s when it was granted, leads to %s, and can't be followed: it %w", *device.Path, shorten(granted), node.pin, why.lost)
			}
			return &ChangedGrantError{
				Subject: "device", Path: *device.Path, Link: why.link, Directory: why.directory,
				Granted: shorten(granted), Found: node.pin, Damaged: why.damaged,
			}
		}
	}
	return nil
}

// exposes reports whether a plugin can have changed the target of a path of the
// host, by a link on the way, or a file below the target. A path that can't be
// followed counts as one with such a link.
func (g *guard) exposes(path string) (why suspicion, byLink, exposed bool) {
	w := g.look.follow(path)
	all := slices.Concat(g.writers(-1), g.exposures().ever)
	if why, byLink = g.through(source{links: w.followed}, all); byLink {
		return why, true, true
	}
	if w.err != nil {
		return suspicion{lost: w.err}, true, true
	}
	at := g.look.table.id(w.at)
	for _, directory := range all {
		if _, inside := below(at, directory.id); inside {
			return suspicion{link: w.at, directory: directory.name}, false, true
		}
		if _, holds := below(directory.id, at); holds {
			return suspicion{link: directory.name, directory: directory.name}, false, true
		}
	}
	damaged := g.exposures().damaged
	return suspicion{link: w.at, directory: filepath.Dir(w.at), damaged: damaged}, len(w.followed) > 0, damaged != ""
}

// shorten lists the first nodes and the number of the others.
func shorten(nodes []string) string {
	shown := strings.Join(nodes[:min(len(nodes), maxProblems)], ", ")
	if more := len(nodes) - maxProblems; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return shown
}
