// SPDX-License-Identifier: Apache-2.0

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

	"github.com/dovetailhq/plugin/internal/class"
)

// InitSpec makes the OCI spec for the plugin's next start, from its settings and
// config, on top of docker's defaults. It also makes the directory
// <execRoot>/<id>, which only the plugin's user can open and which the plugin
// sees as /run/docker/plugins.
//
//   - Mounts of the settings replace those of the config. They come after the
//     default mounts and the propagated mount, and before the sockets. A mount
//     that a later one hides is left out, except the propagated mount, because
//     the host sees mounts at its place or below. A bind mount without the option
//     bind or rbind gets rbind. A bind with an empty source, which no user has
//     set, is left out.
//   - Mount options without effect are left out, as are capabilities unknown to
//     Linux; see [ConfigWarnings].
//   - With any network type the plugin has the host's /etc/hosts and
//     /etc/resolv.conf, those that exist, unless it mounts its own.
//   - Devices without a path are left out. AllowAllDevices allows the use of all
//     devices; their nodes appear only with a mount of /dev.
//   - A PATH of the settings replaces the default.
//   - A config that names a user runs as that user, without the capabilities
//     that the kernel takes from ordinary users.
//   - In a user namespace, as in a rootless daemon, binds keep the flags that the
//     kernel locks there, and the network namespace detached by RootlessKit
//     replaces the host's network.
//
// Then it calls the function of [Plugin.SetSpecOptModifier], and refuses a spec
// that would make the runtime change the host's files:
//
//   - mount points, device nodes and a working directory that the runtime would
//     have to make in a mounted directory of the host;
//   - mounts that the host would see;
//   - links in the rootfs in place of /dev, /proc and /sys;
//   - remounts;
//   - the option tmpcopyup together with a propagated mount;
//   - binds without an absolute source.
//
// It refuses sources and devices that plugins can have changed since they were
// granted, see [Plugin.PinGrants]. If the plugin mounts a directory of the host
// at or above /run/docker/plugins, InitSpec makes the directory for the sockets
// there.
//
// The caller owns the spec, which shares no memory with p. The error is
// [InvalidSpecError], [NoAnswerError] after some seconds if a file system of the host
// does not answer, or of class System if the directory can't be made. No lock is
// held while InitSpec waits for file systems.
func (p *Plugin) InitSpec(execRoot string) (*specs.Spec, error) {
	return p.InitSpecContext(context.Background(), execRoot)
}

// InitSpecContext is [Plugin.InitSpec] for a caller that waits until ctx ends. If ctx
// has a deadline, the error of a file system that does not answer comes before it.
func (p *Plugin) InitSpecContext(ctx context.Context, execRoot string) (*specs.Spec, error) {
	view := p.Clone()
	made, err := lookFor(ctx, view, func(view *Plugin) (*specs.Spec, error) { return newSpec(view, execRoot, fileExists) })
	if err != nil {
		return nil, err
	}
	if modify := p.specModifier(); modify != nil {
		modify(made)
	}
	spec, err := lookFor(ctx, view, func(view *Plugin) (*specs.Spec, error) { return made, fitHost(made, view, execRoot) })
	if err != nil {
		return nil, err
	}
	if err := makeSocketDir(socketDir(execRoot, view), view.PluginObj.Config.User); err != nil {
		return nil, err
	}
	return spec, nil
}

// lookFor calls ask, which looks at files of the host, with a view that has a
// watch. It returns [NoAnswerError] when that takes too long.
func lookFor(ctx context.Context, view *Plugin, ask func(view *Plugin) (*specs.Spec, error)) (*specs.Spec, error) {
	watched := view.Clone() // a look that hangs still uses it after lookFor has returned
	spec, err := attend(ctx, hostPatience, func(w *watch) (*specs.Spec, error) {
		watched.watch = w
		return ask(watched)
	})
	var silent *NoAnswerError
	if errors.As(err, &silent) {
		return nil, fmt.Errorf("make spec of plugin %q: %w", view.PluginObj.Name, err)
	}
	return spec, err
}

// fitHost adapts a spec to the host, and refuses a spec that would change the
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
			return class.System(fmt.Errorf("make directory for the mount of the socket directory: %w", err))
		}
	}
	return nil
}

// newSpec makes the spec of view, which must not change concurrently. exists
// reports whether the host has a file.
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

// checkRunnable refuses an ID that leads out of the exec root, and a plugin
// without a rootfs or a program.
func checkRunnable(view *Plugin) error {
	id := view.PluginObj.ID
	switch {
	case id == "" || id == "." || id == ".." || strings.ContainsRune(id, '/'):
		return &InvalidSpecError{Name: view.PluginObj.Name, Reason: fmt.Sprintf("id %q names no directory", id)}
	case view.Rootfs == "":
		return &InvalidSpecError{Name: view.PluginObj.Name, Reason: "it has no rootfs"}
	case len(view.PluginObj.Config.Entrypoint) == 0:
		return &InvalidSpecError{Name: view.PluginObj.Name, Reason: "its config has no entrypoint"}
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

// setDevices adds the nodes of the devices in the settings, at the same path as
// on the host, and the cgroup rules that allow their use.
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
			return &InvalidSpecError{Name: view.PluginObj.Name, Reason: fmt.Sprintf("device %q", device.Name), Err: err}
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

// environment puts the default PATH before the variables, unless they set PATH.
func environment(set []string) []string {
	isPath := func(entry string) bool { return strings.HasPrefix(entry, "PATH=") }
	if slices.ContainsFunc(set, isPath) {
		return slices.Clone(set)
	}
	return slices.Concat([]string{"PATH=" + oci.DefaultPathEnv(runtime.GOOS)}, set)
}

// union returns a new list of the words in either list, in order, each once.
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

// makeSocketDir makes dir, which only the plugin's user and root can open.
func makeSocketDir(dir string, user types.PluginConfigUser) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return class.System(fmt.Errorf("make socket directory: %w", err))
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return class.System(fmt.Errorf("close socket directory: %w", err))
	}
	if user == (types.PluginConfigUser{}) {
		return nil
	}
	if err := os.Chown(dir, int(user.UID), int(user.GID)); err != nil {
		return class.System(fmt.Errorf("give socket directory to the plugin's user: %w", err))
	}
	return nil
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
