// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/registry"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/test/crash/drive"
)

// managed is a manager with a registry.
type managed struct {
	*plugin.Manager
	registry *drive.Registry

	root      string
	importing sync.Mutex // held while the root has an inventory
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

// ImportVersion puts a version below the root as docker 1.12 had it, and imports it. A
// crash leaves the inventory to the next manager.
func (m *managed) ImportVersion(version, name string) error {
	m.importing.Lock()
	defer m.importing.Unlock()
	id := "legacy-" + rand.Text()
	if err := versions().PutLegacy(m.root, id, name, version); err != nil {
		return err
	}
	report, err := m.ImportLegacy(context.Background(), m.root)
	if err != nil {
		return err
	}
	// The files of a refused import have no further use.
	err = errors.Join(os.RemoveAll(filepath.Join(m.root, id)), os.Remove(report.Inventory))
	return errors.Join(report.Entries[0].Err, err)
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

// Reclaim deletes unused content and unfinished downloads.
func (m *managed) Reclaim() error {
	_, err := m.Prune(context.Background())
	return err
}

// Shutdown ends the manager, and then the registry.
func (m *managed) Shutdown() {
	m.Manager.Shutdown()
	_ = m.registry.Close() // no transfer is left to serve
}

// plainEndpoints resolves every host to plain http.
type plainEndpoints struct{}

func (plainEndpoints) LookupPullEndpoints(host string) ([]registry.APIEndpoint, error) {
	return []registry.APIEndpoint{{URL: &url.URL{Scheme: "http", Host: host}}}, nil
}
