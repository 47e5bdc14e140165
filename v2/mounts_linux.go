package v2

import (
	"fmt"
	"path"
	"slices"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pluginSockets is where every plugin makes its socket.
const pluginSockets = "/run/docker/plugins"

// setMounts adds to the default mounts of spec, in docker's order, the
// propagated mount, the plugin's own mounts, the socket directory and the host's
// name resolution. A mount that a later one hides is left out, except the
// propagated mount: through it the host sees what is mounted there.
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

// propagatedMounts is the one of the config, or none.
func propagatedMounts(view *Plugin) ([]specs.Mount, error) {
	destination := view.PluginObj.Config.PropagatedMount
	if destination == "" {
		return nil, nil
	}
	if destination = path.Join("/", destination); destination == "/" {
		return nil, ErrInvalidSpec{Name: view.PluginObj.Name, Reason: "its propagated mount would hide its rootfs"}
	}
	return []specs.Mount{{
		Destination: destination,
		Type:        "bind",
		Source:      propagatedMount(view.Rootfs),
		Options:     []string{"rbind", "rw", "rshared"},
	}}, nil
}

// ownMounts are those of config and settings.
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

// nameResolution gives a plugin that has a network the host's files for it,
// where it mounts none itself, nor a directory of the host in their place. A
// file that the host lacks is left out: binding it would keep the plugin from
// starting.
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

// userMount checks and converts a mount that the author or user of a plugin
// wants. A file system without a source gets the name of its type.
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
		return specs.Mount{}, ErrInvalidSpec{Name: plugin, Reason: fmt.Sprintf("mount %q has no destination below /", name)}
	case converted.Source == "":
		return specs.Mount{}, ErrInvalidSpec{Name: plugin, Reason: fmt.Sprintf("mount %q has no source", name)}
	}
	return converted, nil
}

// withoutHidden drops what a later mount hides, at its place or above, and
// keeps the order. Destinations are clean.
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
