// SPDX-License-Identifier: Apache-2.0

// Command driver drives docker's manager, with a fake executor, for the harness
// that kills it.
//
// It runs in an empty directory, and its plugins share no mounts: when docker's
// manager removes a plugin with a propagated mount, it can rename a directory
// of the host that has the mount's name. Plugins that it pulls have one layer,
// because it can unpack several in another order than the manifest's.
package main

import (
	"context"
	"io"

	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/plugin"
	"github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

func main() {
	executor := &plugintest.Executor{}
	if err := log.SetLevel("fatal"); err != nil {
		panic(err) // the level exists
	}
	drive.Main(drive.Subject{
		Open:     func(paths drive.Paths) (drive.Manager, error) { return open(paths, executor) },
		Check:    func(paths drive.Paths, manager drive.Manager) []string { return check(paths, manager, executor) },
		Versions: versions,
	})
}

var versions = drive.Versions{OneLayer: true}

// managed is docker's manager with a registry.
type managed struct {
	*plugin.Manager
	registry *drive.Registry
}

func open(paths drive.Paths, executor *plugintest.Executor) (*managed, error) {
	endpoints, err := registry.NewService(registry.ServiceOptions{}) // a host of 127.0.0.0/8 may use plain http
	if err != nil {
		return nil, err
	}
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Store: plugin.NewStore(), Root: paths.Root, ExecRoot: paths.ExecRoot, RegistryService: endpoints,
		LogPluginEvent: func(string, string, events.Action) {},
		CreateExecutor: func(pm *plugin.Manager) (plugin.Executor, error) {
			executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
			return executor, nil
		},
	})
	if err != nil {
		return nil, err
	}
	served, err := versions.Serve()
	if err != nil {
		pm.Shutdown()
		return nil, err
	}
	return &managed{Manager: pm, registry: served}, nil
}

// PullVersion installs a version from the registry.
func (m *managed) PullVersion(version, name string) error {
	ref, grants, err := m.find(version)
	if err != nil {
		return err
	}
	return m.Pull(context.Background(), ref, name, nil, nil, grants, io.Discard)
}

// UpgradeVersion replaces a plugin by a version from the registry.
func (m *managed) UpgradeVersion(version, name string) error {
	ref, grants, err := m.find(version)
	if err != nil {
		return err
	}
	return m.Upgrade(context.Background(), ref, name, nil, nil, grants, io.Discard)
}

// find returns the reference of a version, and grants for it.
func (m *managed) find(version string) (reference.Named, types.PluginPrivileges, error) {
	ref, err := m.registry.Reference(version)
	if err != nil {
		return nil, nil, err
	}
	grants, err := m.Privileges(context.Background(), ref, nil, nil)
	return ref, grants, err
}

// Shutdown ends the manager, and then the registry.
func (m *managed) Shutdown() {
	m.Manager.Shutdown()
	_ = m.registry.Close() // no transfer is left to serve
}
