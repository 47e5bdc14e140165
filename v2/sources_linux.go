// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// source is a path of the host that a mount names, and its target.
type source struct {
	destination string
	path        string   // as the mount names it
	at          string   // the target; path, cleaned, if lost
	lost        error    // why path can't be followed; the kernel may find any target
	links       []string // the links that were followed, by their places on the host

	writable      bool     // the plugin can write to the target
	writableBelow bool     // the plugin can write to mounts below the target
	mounted       bool     // the plugin can write to the file system that path names
	fileSystems   []string // the identities of that file system
	granted       bool     // a bind, which the user granted with all files below
	byDaemon      bool     // one of nameFiles that the plugin gets without asking
}

// nameFiles are the host's files of name resolution, which every plugin with a
// network gets.
var nameFiles = []string{"/etc/hosts", "/etc/resolv.conf"}

// hostLook finds where sources lead.
type hostLook struct {
	follow func(path string) *walk
	table  *mountTable // nil if neither the kernel nor a file system may be asked
}

// asWritten follows no links, and asks no file system.
var asWritten = hostLook{follow: func(path string) *walk { return &walk{at: filepath.Clean(path)} }}

// sources returns the paths of the host that mounts name.
func (h hostLook) sources(mounts []specs.Mount, canRemount bool) []source {
	var sources []source
	for _, mount := range mounts {
		if !isBind(mount.Type, mount.Options) {
			sources = append(sources, h.optionSources(mount, canRemount)...)
			continue
		}
		bind := h.source(mount, mount.Source)
		bind.writable = canRemount || isWritable(mount.Options)
		bind.writableBelow = isWritableBelow(mount.Options) || canRemount && slices.Contains(mount.Options, "rbind")
		bind.granted = true
		sources = append(sources, bind)
	}
	return sources
}

func (h hostLook) source(mount specs.Mount, path string) source {
	w := h.follow(path)
	return source{destination: mount.Destination, path: path, at: leads(path, w), lost: w.err, links: w.followed}
}

// leads returns the target of a path, or the path if it can't be followed.
func leads(path string, w *walk) string {
	if w.err != nil {
		return filepath.Clean(path)
	}
	return w.at
}

// sourcePaths returns the paths of the host that the plugin's mounts name, with
// the destination of each. It asks no file system.
func sourcePaths(view *Plugin) map[string]string {
	mounts, err := ownMounts(view)
	if err != nil {
		return nil // the plugin can't be started
	}
	paths := make(map[string]string)
	if view.PluginObj.Config.Network.Type != "" {
		for _, file := range nameFiles {
			paths[file] = file
		}
	}
	for _, source := range asWritten.sources(mounts, false) {
		if filepath.IsAbs(source.path) {
			paths[source.path] = source.destination
		}
	}
	return paths
}

// writes reports whether the plugin can write to files of the host by the mount.
func (s source) writes() bool { return s.writable || s.writableBelow || s.mounted }

// directories returns the directories that the plugin can write to by the mount.
func (s source) directories(table *mountTable) []directory {
	var directories []directory
	if s.writable {
		directories = append(directories, table.directory(s.at))
	}
	if s.writableBelow {
		directories = append(directories, table.below(s.at)...)
	}
	for _, id := range s.fileSystems {
		directories = append(directories, table.directories(id)...)
	}
	return directories
}
