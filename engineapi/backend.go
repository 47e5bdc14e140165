// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"

	"github.com/dovetailhq/plugin"
)

// Backend is the plugin system behind the endpoints. [plugin.Manager] implements
// it. Its methods are called concurrently. Methods with a context get the context
// of the request. The class of an error decides the status of the answer.
type Backend interface {
	// List returns the plugins that match all filters.
	List(pluginFilters filters.Args) ([]types.Plugin, error)
	// Inspect returns one plugin by name, ID or unambiguous ID prefix.
	Inspect(refOrID string) (*types.Plugin, error)
	// Enable starts a plugin and returns once the plugin accepts connections.
	Enable(refOrID string, config *backend.PluginEnableConfig) error
	// Disable stops a plugin.
	Disable(refOrID string, config *backend.PluginDisableConfig) error
	// Remove deletes a plugin.
	Remove(name string, config *backend.PluginRmConfig) error
	// Set changes settings, all of args or none.
	Set(name string, args []string) error
	// CreateFromContext makes a plugin from a build context. It need not read
	// all of it.
	CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error
	// Privileges returns the privileges that the plugin at ref asks for.
	Privileges(ctx context.Context, ref reference.Named, metaHeader http.Header, authConfig *registry.AuthConfig) (types.PluginPrivileges, error)
	// Pull installs the plugin at ref under name and writes its progress to
	// outStream as JSON messages.
	Pull(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...plugin.CreateOpt) error
	// Upgrade replaces plugin name by the one at ref.
	Upgrade(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) error
	// Push uploads a plugin to the registry in its name.
	Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error
}
