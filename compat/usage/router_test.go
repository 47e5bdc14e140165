// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// routerBackend is the backend interface of docker's Engine API router.
type routerBackend interface {
	Disable(name string, config *backend.PluginDisableConfig) error
	Enable(name string, config *backend.PluginEnableConfig) error
	List(filters.Args) ([]types.Plugin, error)
	Inspect(name string) (*types.Plugin, error)
	Remove(name string, config *backend.PluginRmConfig) error
	Set(name string, args []string) error
	Privileges(ctx context.Context, ref reference.Named, metaHeaders http.Header, authConfig *registry.AuthConfig) (types.PluginPrivileges, error)
	Pull(ctx context.Context, ref reference.Named, name string, metaHeaders http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...plugin.CreateOpt) error
	Push(ctx context.Context, name string, metaHeaders http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error
	Upgrade(ctx context.Context, ref reference.Named, name string, metaHeaders http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) error
	CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error
}

var _ routerBackend = (*plugin.Manager)(nil)

// The daemon's info page lists plugins of a capability by a filter.
func TestRouterLists(t *testing.T) {
	d, _ := start(t)
	create(t, d, "example.com/volume:1", "docker.volumedriver/1.0")
	create(t, d, "example.com/network:1", "docker.networkdriver/1.0")
	var router routerBackend = d.PluginManager()

	volumes, err := router.List(filters.NewArgs(filters.Arg("capability", "volumedriver")))
	assert.NilError(t, err)
	assert.Equal(t, len(volumes), 1)
	assert.Equal(t, volumes[0].Name, "example.com/volume:1")

	p, err := router.Inspect("example.com/network:1")
	assert.NilError(t, err)
	assert.Equal(t, p.PluginReference, "example.com/network:1")
}
