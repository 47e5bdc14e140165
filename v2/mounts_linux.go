// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"fmt"
	"path"
	"slices"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pluginSockets is the directory in which every plugin makes its socket.
const pluginSockets = "/run/docker/plugins"

// setMounts adds to the default mounts of spec, in docker's order, the
// propagated mount, the plugin's own mounts, the socket directory and the host's
// name resolution. A mount that a later one hides is left out, except the
// propagated mount: it shows later mounts below it to the host.
func setMounts(spec *specs.Spec, view *Plugin, execRoot string, exists func(string) bool) error {
	propagated, err := propagatedMounts(view)
	if err != nil {
		return err
	}
	if len(propagated) > 0 {
		spec.Linux.RootfsPropagation = "rshared"
	}
	own, err := ownMounts(view)
	if err != nil {
		return err
	}
	if !isUnconfined(view.PluginObj.Config) {
		confine(spec, own)
	}
	sockets := specs.Mount{
		Destination: pluginSockets,
		Type:        "bind",
		Source:      socketDir(execRoot, view),
		Options:     []string{"rbind", "rshared"},
	}
	mounts := append(slices.Concat(spec.Mounts, propagated, own), sockets)
	if view.PluginObj.Config.Network.Type != "" {
		mounts = append(mounts, nameResolution(mounts, treeOf(spec, view, execRoot, mounts), exists)...)
	}
	isPropagated := func(i int) bool { return i >= len(spec.Mounts) && i < len(spec.Mounts)+len(propagated) }
	spec.Mounts = withoutHidden(mounts, isPropagated)
	return nil
}

// propagatedMounts returns the propagated mount of the config, or none.
func propagatedMounts(view *Plugin) ([]specs.Mount, error) {
	destination := view.PluginObj.Config.PropagatedMount
	if destination == "" {
		return nil, nil
	}
	if destination = path.Join("/", destination); destination == "/" {
		return nil, &InvalidSpecError{Name: view.PluginObj.Name, Reason: "its propagated mount would hide its rootfs"}
	}
	return []specs.Mount{{
		Destination: destination,
		Type:        "bind",
		Source:      propagatedMount(view.Rootfs),
		Options:     []string{"rbind", "rw", "rshared"},
	}}, nil
}

// ownMounts returns the mounts of config and settings.
func ownMounts(view *Plugin) ([]specs.Mount, error) {
	var own []specs.Mount
	for _, mount := range effectiveMounts(&view.PluginObj) {
		if isUnset(mount) {
			continue
		}
		converted, err := userMount(view.PluginObj.Name, mount)
		if err != nil {
			return nil, err
		}
		own = append(own, converted)
	}
	return own, nil
}

// nameResolution returns binds of the host's files for name resolution. It leaves
// out a file that the plugin mounts itself or has in a mounted directory of the
// host, and a file that the host lacks: its bind would make the start fail.
func nameResolution(mounts []specs.Mount, seen tree, exists func(string) bool) []specs.Mount {
	var files []specs.Mount
	for _, file := range nameFiles {
		isThere := func(m specs.Mount) bool { return m.Destination == file }
		inside, _ := seen.resolve(file)
		_, in := seen.locate(inside)
		if slices.ContainsFunc(mounts, isThere) || in.kind == hostFiles || !exists(file) {
			continue
		}
		files = append(files, specs.Mount{
			Destination: file,
			Type:        "bind",
			Source:      file,
			Options:     []string{"rbind", "ro"},
		})
	}
	return files
}

// userMount checks and converts a mount of config or settings. A file system
// without a source gets the name of its type as source.
func userMount(plugin string, m types.PluginMount) (specs.Mount, error) {
	name := m.Name
	if name == "" {
		name = m.Destination
	}
	converted := specs.Mount{Destination: path.Join("/", m.Destination), Type: m.Type, Source: m.Type, Options: runtimeOptions(m)}
	if bindsFiles(m) {
		converted.Type, converted.Source = "bind", ""
	}
	if m.Source != nil && *m.Source != "" {
		converted.Source = *m.Source
	}
	switch {
	case converted.Destination == "/":
		return specs.Mount{}, &InvalidSpecError{Name: plugin, Reason: fmt.Sprintf("mount %q has no destination below /", name)}
	case converted.Source == "":
		return specs.Mount{}, &InvalidSpecError{Name: plugin, Reason: fmt.Sprintf("mount %q has no source", name)}
	}
	return converted, nil
}

// withoutHidden removes mounts that a later mount at the same place or above
// hides, and keeps the order. Destinations are clean.
func withoutHidden(mounts []specs.Mount, keep func(i int) bool) []specs.Mount {
	var kept []specs.Mount
	for i, mount := range mounts {
		hides := func(later specs.Mount) bool {
			_, ok := below(mount.Destination, later.Destination)
			return ok
		}
		if keep(i) || !slices.ContainsFunc(mounts[i+1:], hides) {
			kept = append(kept, mount)
		}
	}
	return kept
}
