package v2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// InitSpec makes the OCI spec that the plugin is to be started with, from its
// settings and config, on top of docker's defaults. It makes the directory
// <execRoot>/<id>, open to the plugin's user only, which the plugin sees as
// /run/docker/plugins.
//
//   - Mounts of the settings replace those of the config. They come after the
//     default mounts and the propagated mount, and before the sockets. A mount
//     that a later one hides is left out; the propagated mount never is: a mount
//     at its place or below is seen by the host there. A bind mount without
//     the option bind or rbind gets rbind. A bind whose source is empty is left
//     out: no user has set it.
//   - Words of a mount's options that mean nothing to it are left out, as are
//     capabilities that Linux does not have; see [ConfigWarnings].
//   - With any network type the plugin has the host's /etc/hosts and
//     /etc/resolv.conf, those that exist, unless it mounts its own.
//   - Devices whose path is not set are left out. AllowAllDevices opens all
//     devices, but it takes a mount of /dev to see them.
//   - A PATH of the settings replaces the default one.
//   - A config that names a user runs as that user, without the capabilities
//     that the kernel takes from ordinary users.
//   - In a user namespace, as in a rootless daemon, what is bound keeps the
//     flags of its mount that the kernel locks there, and the host's network
//     is the one that RootlessKit has detached.
//
// Last it calls the function of [Plugin.SetSpecOptModifier], and refuses a spec
// with which the runtime would change the host's files: mount points, device
// nodes and a working directory that it would have to make in a directory of
// the host that the plugin mounts, mounts that the host would see there, links
// in the rootfs in the place of /dev, /proc and /sys, remounts, the option
// tmpcopyup beside a propagated mount, and binds whose source is not absolute.
// It refuses sources and devices that plugins can have changed since they were
// granted, see [Plugin.PinDevices]. Where the plugin mounts a
// directory of the host at or above /run/docker/plugins, it makes the
// directory for the sockets there.
//
// The spec is the caller's and shares no memory with p. The error is
// [ErrInvalidSpec], [ErrNoAnswer] after some seconds if a file system of the host
// does not answer, or of class System if the directory can't be made. No lock is
// held while InitSpec waits for file systems.
func (p *Plugin) InitSpec(execRoot string) (*specs.Spec, error) {
	view := p.Clone()
	spec, err := lookFor(view, func(view *Plugin) (*specs.Spec, error) { return newSpec(view, execRoot, fileExists) })
	if err != nil {
		return nil, err
	}
	if modify := p.specModifier(); modify != nil {
		modify(spec)
	}
	if spec, err = lookFor(view, func(view *Plugin) (*specs.Spec, error) { return spec, fitHost(spec, view, execRoot) }); err != nil {
		return nil, err
	}
	if err := makeSocketDir(socketDir(execRoot, view), view.PluginObj.Config.User); err != nil {
		return nil, err
	}
	return spec, nil
}

// lookFor calls ask, which looks at files of the host, with a view that has a
// watch. It returns [ErrNoAnswer] when that takes too long.
func lookFor(view *Plugin, ask func(view *Plugin) (*specs.Spec, error)) (*specs.Spec, error) {
	watched := view.Clone() // the caller goes on before a look that hangs has ended
	spec, err := attend(context.Background(), hostPatience, func(w *watch) (*specs.Spec, error) {
		watched.watch = w
		return ask(watched)
	})
	var silent ErrNoAnswer
	if errors.As(err, &silent) {
		return nil, fmt.Errorf("make spec of plugin %q: %w", view.PluginObj.Name, err)
	}
	return spec, err
}

// fitHost adapts a spec to the host, and refuses one that would change the
// host's files.
func fitHost(spec *specs.Spec, view *Plugin, execRoot string) error {
	if err := fitUserNamespace(spec, view.watch); err != nil {
		return err
	}
	missing, err := spareHostFiles(spec, view, execRoot)
	if err != nil {
		return err
	}
	for _, dir := range missing {
		if err := view.watch.look(dir, ""); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return systemError{fmt.Errorf("make directory for the mount of the socket directory: %w", err)}
		}
	}
	return nil
}

// newSpec takes a view of a plugin that nobody changes, and exists, which tells
// whether the host has a file.
func newSpec(view *Plugin, execRoot string, exists func(string) bool) (*specs.Spec, error) {
	config := &view.PluginObj.Config
	if err := checkRunnable(view); err != nil {
		return nil, err
	}
	spec := oci.DefaultSpec()
	spec.Linux.MaskedPaths = slices.Clone(spec.Linux.MaskedPaths) // docker shares one among all specs
	spec.Root = &specs.Root{Path: view.Rootfs, Readonly: false}
	setNamespaces(&spec, config)
	if err := setMounts(&spec, view, execRoot, exists); err != nil {
		return nil, err
	}
	if err := setDevices(&spec, view); err != nil {
		return nil, err
	}
	setProcess(&spec, view)
	return &spec, nil
}

// checkRunnable refuses what would lead out of the exec root or run nothing.
func checkRunnable(view *Plugin) error {
	id := view.PluginObj.ID
	switch {
	case id == "" || id == "." || id == ".." || strings.ContainsRune(id, '/'):
		return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: fmt.Sprintf("id %q names no directory", id)}
	case view.Rootfs == "":
		return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: "it has no rootfs"}
	case len(view.PluginObj.Config.Entrypoint) == 0:
		return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: "its config has no entrypoint"}
	}
	return nil
}

func setNamespaces(spec *specs.Spec, config *types.PluginConfig) {
	if config.Network.Type == "host" {
		oci.RemoveNamespace(spec, specs.NetworkNamespace)
	}
	if config.PidHost {
		oci.RemoveNamespace(spec, specs.PIDNamespace)
	}
	if config.IpcHost {
		oci.RemoveNamespace(spec, specs.IPCNamespace)
	}
}

// setDevices adds the nodes of the devices in the settings, at the same path
// as on the host, and the right to use them.
func setDevices(spec *specs.Spec, view *Plugin) error {
	rules := &spec.Linux.Resources.Devices
	if view.PluginObj.Config.Linux.AllowAllDevices {
		*rules = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	for _, device := range view.PluginObj.Settings.Devices {
		if device.Path == nil || *device.Path == "" {
			continue
		}
		view.watch.about(fmt.Sprintf("device %q at %q", device.Name, *device.Path))
		nodes, allowed, err := devicesFrom(*device.Path, view.watch)
		view.watch.about("")
		if err != nil {
			return ErrInvalidSpec{Name: view.PluginObj.Name, Reason: fmt.Sprintf("device %q", device.Name), Err: err}
		}
		spec.Linux.Devices = append(spec.Linux.Devices, nodes...)
		if !view.PluginObj.Config.Linux.AllowAllDevices {
			*rules = append(*rules, allowed...)
		}
	}
	return nil
}

func setProcess(spec *specs.Spec, view *Plugin) {
	config, settings := &view.PluginObj.Config, &view.PluginObj.Settings
	process := spec.Process
	process.Terminal = false
	process.Args = slices.Concat(config.Entrypoint, settings.Args)
	process.Env = environment(settings.Env)
	process.Cwd = path.Join("/", config.WorkDir)
	process.User = specs.User{UID: config.User.UID, GID: config.User.GID}
	capabilities := process.Capabilities
	for _, set := range []*[]string{
		&capabilities.Bounding, &capabilities.Permitted, &capabilities.Effective, &capabilities.Inheritable,
	} {
		*set = union(*set, knownCapabilities(config.Linux.Capabilities))
	}
}

// environment puts a PATH before the variables that are set, unless they have one.
func environment(set []string) []string {
	isPath := func(entry string) bool { return strings.HasPrefix(entry, "PATH=") }
	if slices.ContainsFunc(set, isPath) {
		return slices.Clone(set)
	}
	return slices.Concat([]string{"PATH=" + oci.DefaultPathEnv(runtime.GOOS)}, set)
}

// union returns a new list of what is in either list, each once, in order.
func union(a, b []string) []string {
	var all []string
	for _, s := range slices.Concat(a, b) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func socketDir(execRoot string, view *Plugin) string {
	return filepath.Join(execRoot, view.PluginObj.ID)
}

// makeSocketDir makes dir so that the plugin's user can make a socket in it and
// nobody but root can look for it.
func makeSocketDir(dir string, user types.PluginConfigUser) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return systemError{fmt.Errorf("make socket directory: %w", err)}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return systemError{fmt.Errorf("close socket directory: %w", err)}
	}
	if user == (types.PluginConfigUser{}) {
		return nil
	}
	if err := os.Chown(dir, int(user.UID), int(user.GID)); err != nil {
		return systemError{fmt.Errorf("give socket directory to the plugin's user: %w", err)}
	}
	return nil
}

// systemError is an error of class System.
type systemError struct{ error }

func (e systemError) Error() string { return plaintext.Sprintf("%v", e.error) }

func (e systemError) Unwrap() error { return e.error }
func (systemError) System()         {}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
