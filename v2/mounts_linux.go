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

// setMounts adds to the default mounts of spec, in this order, the plugin's own
// mounts, the propagated mount, the socket directory and the host's name
// resolution. Each takes the place of what comes before it at the same destination,
// but for name resolution, which gives way.
func setMounts(spec *specs.Spec, view *Plugin, execRoot string, exists func(string) bool) error {
	mounts := slices.Clone(spec.Mounts)
	for _, mount := range effectiveMounts(&view.PluginObj) {
		if isUnset(mount) {
			continue
		}
		converted, err := userMount(view.PluginObj.Name, mount)
		if err != nil {
			return err
		}
		mounts = append(mounts, converted)
	}
	if destination := view.PluginObj.Config.PropagatedMount; destination != "" {
		destination = path.Join("/", destination)
		if destination == "/" {
			return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: "its propagated mount would hide its rootfs"}
		}
		mounts = append(mounts, specs.Mount{
			Destination: destination,
			Type:        "bind",
			Source:      propagatedMount(view.Rootfs),
			Options:     []string{"rbind", "rw", "rshared"},
		})
		spec.Linux.RootfsPropagation = "rshared"
	}
	mounts = append(mounts, specs.Mount{
		Destination: pluginSockets,
		Type:        "bind",
		Source:      socketDir(execRoot, view),
		Options:     []string{"rbind", "rshared"},
	})
	if view.PluginObj.Config.Network.Type != "" {
		mounts = append(mounts, nameResolution(mounts, treeOf(view, execRoot, mounts), exists)...)
	}
	spec.Mounts = lastAtEachDestination(mounts)
	return nil
}

// nameResolution gives a plugin that has a network the host's files for it,
// where it mounts none itself, nor a directory of the host in their place. A
// file that the host lacks is left out: binding it would keep the plugin from
// starting.
func nameResolution(mounts []specs.Mount, seen tree, exists func(string) bool) []specs.Mount {
	var files []specs.Mount
	for _, file := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		isThere := func(m specs.Mount) bool { return m.Destination == file }
		_, in := seen.locate(seen.resolve(file))
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

// effectiveMounts returns each mount of the config as the settings have it, if
// they do, and then what only the settings have.
func effectiveMounts(plugin *types.Plugin) []types.PluginMount {
	rest := slices.Clone(plugin.Settings.Mounts)
	take := func(match func(types.PluginMount) bool) (types.PluginMount, bool) {
		at := slices.IndexFunc(rest, match)
		if at < 0 {
			return types.PluginMount{}, false
		}
		mount := rest[at]
		rest = slices.Delete(rest, at, at+1)
		return mount, true
	}
	var mounts []types.PluginMount
	for _, mount := range plugin.Config.Mounts {
		set, ok := take(func(m types.PluginMount) bool {
			return m.Name == mount.Name && path.Join("/", m.Destination) == path.Join("/", mount.Destination)
		})
		if !ok && mount.Name != "" {
			set, ok = take(func(m types.PluginMount) bool { return m.Name == mount.Name })
		}
		if ok {
			mount = set
		}
		mounts = append(mounts, mount)
	}
	return append(mounts, rest...)
}

// isUnset tells of a bind that waits for its user to say what of the host is
// to be there, and may wait for ever: vieux/sshfs has one for ssh keys.
func isUnset(m types.PluginMount) bool {
	return isBind(m.Type, m.Options) && m.Source != nil && *m.Source == ""
}

func isBind(typ string, options []string) bool {
	return typ == "bind" || slices.Contains(options, "bind") || slices.Contains(options, "rbind")
}

// userMount checks and converts a mount that the author or user of a plugin
// wants.
func userMount(plugin string, m types.PluginMount) (specs.Mount, error) {
	name := m.Name
	if name == "" {
		name = m.Destination
	}
	destination := path.Join("/", m.Destination)
	switch {
	case destination == "/":
		return specs.Mount{}, ErrInvalidSpec{Name: plugin, Reason: fmt.Sprintf("mount %q has no destination below /", name)}
	case m.Source == nil:
		return specs.Mount{}, ErrInvalidSpec{Name: plugin, Reason: fmt.Sprintf("mount %q has no source", name)}
	}
	options := slices.Clone(m.Options)
	if isBind(m.Type, m.Options) && !slices.Contains(options, "bind") && !slices.Contains(options, "rbind") {
		options = append(options, "rbind")
	}
	return specs.Mount{Destination: destination, Type: m.Type, Source: *m.Source, Options: options}, nil
}

// lastAtEachDestination drops mounts that a later one would cover exactly, and
// keeps the order. Destinations are clean.
func lastAtEachDestination(mounts []specs.Mount) []specs.Mount {
	last := make(map[string]int, len(mounts))
	for i, mount := range mounts {
		last[mount.Destination] = i
	}
	var kept []specs.Mount
	for i, mount := range mounts {
		if last[mount.Destination] == i {
			kept = append(kept, mount)
		}
	}
	return kept
}
