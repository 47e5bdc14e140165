// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// WritableSources returns the sources of mounts by which the plugin can write to
// files of the host, as its config and settings name them. It asks no file system.
func (p *Plugin) WritableSources() []string {
	view := p.Clone()
	mounts, err := ownMounts(view)
	if err != nil {
		return nil // the plugin can't be started
	}
	var paths []string
	for _, source := range asWritten.sources(mounts, canRemount(view)) {
		if source.writes() {
			paths = append(paths, source.path)
		}
	}
	return paths
}

// Exposures returns the directories of the host that the plugin's mounts let it
// write to, under all of their names. Its own directory is not among them. A plugin
// that can write to the host's root directory needs no links to reach more, so that
// mount adds nothing.
//
// A source in a file system that does not answer within half a second is returned
// unresolved. Exposures looks at all sources at the same time.
func (p *Plugin) Exposures() []Exposure {
	view := p.Clone()
	mounts, err := ownMounts(view)
	if err != nil || len(mounts) == 0 {
		return nil
	}
	table := new(mountTable)
	own := table.id(filepath.Dir(view.Rootfs))
	var exposures []Exposure
	for _, source := range followApart(mounts, canRemount(view), table.all()) {
		for _, name := range source.names(table) {
			if !filepath.IsAbs(name) {
				exposures = append(exposures, Exposure{source.path, name, true})
			} else if !table.holds(own, name) {
				exposures = append(exposures, Exposure{source.path, name, table.endsWithBoot(name)})
			}
		}
	}
	return exposures
}

// followApart returns the sources of mounts. It looks at all mounts at the same
// time. A source that can't be followed in time stays unresolved, so that it does
// not prevent the start. The host's mounts were read before: a plugin can make so
// many that the time ends with the list.
func followApart(mounts []specs.Mount, canRemount bool, ofHost []*mountinfo.Info) []source {
	results := together(mounts, func(mount specs.Mount) ([]source, error) {
		return attend(context.Background(), lookPatience/2, func(w *watch) ([]source, error) {
			look := hostLook{followSource(w), &mountTable{mounts: ofHost}}
			return look.sources([]specs.Mount{mount}, canRemount), nil
		})
	})
	var sources []source
	for i, result := range results {
		if result.err != nil {
			result.value = asWritten.sources(mounts[i:i+1], canRemount)
		}
		sources = append(sources, result.value...)
	}
	return sources
}

// names returns the names of all directories that the plugin can write to by the
// mount, and the identities of file systems; none if the host's root directory is
// among them.
func (s source) names(table *mountTable) []string {
	var names []string
	if s.writable {
		names = append(table.names(table.id(s.at)), s.at) // with all mounts below
	} else if s.writableBelow {
		for _, mount := range table.below(s.at) {
			if !mount.readOnly { // the plugin can't remount it
				names = append(names, mount.name)
			}
		}
	}
	for _, id := range s.fileSystems {
		names = append(append(names, id), table.names(id)...)
	}
	if slices.ContainsFunc(names, table.isRoot) {
		return nil
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// canRemount reports whether the plugin can make its read-only mounts writable.
func canRemount(view *Plugin) bool {
	return slices.Contains(knownCapabilities(view.PluginObj.Config.Linux.Capabilities), "CAP_SYS_ADMIN")
}
