// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package plugin

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"

	"github.com/dovetailhq/plugin/internal/layout"
)

var errUnsupported = &UnsupportedError{Op: "management", Reason: "managed plugins need Linux"}

func (pm *Manager) Enable(refOrID string, config *backend.PluginEnableConfig) error {
	return errUnsupported
}

func (pm *Manager) Disable(refOrID string, config *backend.PluginDisableConfig) error {
	return errUnsupported
}

func (pm *Manager) Inspect(refOrID string) (*types.Plugin, error) { return nil, errUnsupported }

func (pm *Manager) List(pluginFilters filters.Args) ([]types.Plugin, error) {
	return nil, errUnsupported
}

func (pm *Manager) Set(name string, args []string) error { return errUnsupported }

func (pm *Manager) Remove(name string, config *backend.PluginRmConfig) error { return errUnsupported }

func (pm *Manager) CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error {
	return errUnsupported
}

func (pm *Manager) CreateFromLayout(ctx context.Context, path string, options *types.PluginCreateOptions) error {
	return errUnsupported
}

func (pm *Manager) Privileges(ctx context.Context, ref reference.Named, metaHeader http.Header, authConfig *registry.AuthConfig) (types.PluginPrivileges, error) {
	return nil, errUnsupported
}

func (pm *Manager) Pull(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...CreateOpt) error {
	return errUnsupported
}

func (pm *Manager) Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error {
	return errUnsupported
}

func (pm *Manager) Upgrade(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) error {
	return errUnsupported
}

func (pm *Manager) UpgradeFromLayout(ctx context.Context, path, name string) error {
	return errUnsupported
}

func (pm *Manager) ImportLegacy(ctx context.Context, dir string) (ImportReport, error) {
	return ImportReport{}, errUnsupported
}

func (pm *Manager) ImportDirectory(ctx context.Context, dir, name string) (ImportedPlugin, error) {
	return ImportedPlugin{}, errUnsupported
}

func (pm *Manager) loadAndImport(found []layout.Recovered) { pm.load(found) }
