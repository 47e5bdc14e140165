package main

import (
	"context"
	"net/url"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

// managed is a manager with a registry at its side.
type managed struct {
	*plugin.Manager
	registry *drive.Registry
}

// PullVersion installs a version from the registry.
func (m *managed) PullVersion(version, name string) error {
	ref, grants, err := m.find(version)
	if err != nil {
		return err
	}
	return m.Pull(context.Background(), ref, name, nil, nil, grants, nil)
}

// UpgradeVersion replaces a plugin by a version from the registry.
func (m *managed) UpgradeVersion(version, name string) error {
	ref, grants, err := m.find(version)
	if err != nil {
		return err
	}
	return m.Upgrade(context.Background(), ref, name, nil, nil, grants, nil)
}

// find returns where a version is, and grants what it asks for.
func (m *managed) find(version string) (reference.Named, types.PluginPrivileges, error) {
	ref, err := m.registry.Reference(version)
	if err != nil {
		return nil, nil, err
	}
	grants, err := m.Privileges(context.Background(), ref, nil, nil)
	return ref, grants, err
}

// Reclaim deletes what nobody needs, and what transfers left to be resumed.
func (m *managed) Reclaim() error {
	_, err := m.Prune(context.Background())
	return err
}

// Shutdown ends the manager, and then the registry.
func (m *managed) Shutdown() {
	m.Manager.Shutdown()
	_ = m.registry.Close() // nobody is served any more
}

// plainEndpoints resolves every host to plain http.
type plainEndpoints struct{}

func (plainEndpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}
