// SPDX-License-Identifier: Apache-2.0

// Package subject gives docker's plugin manager and ours one interface, so that
// one driver can use both.
//
// A [Subject] is a running manager. Methods without types of the plugin
// packages in their signatures are the manager's own. The others are reduced to
// signatures without such types.
package subject

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	registryservice "github.com/docker/docker/registry"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/plugintest"
)

// Config is the config of a subject. It outlives the subject, as a host
// outlives a daemon.
type Config struct {
	Root, ExecRoot string
	// Executor runs the plugins. Nil makes a manager without an executor.
	Executor    *plugintest.Executor
	LiveRestore bool
	Registry    *registryservice.Service
	Authz       *authorization.Middleware
	// Log gets the events of the daemon's event stream.
	Log func(id, name string, action events.Action)
}

// Start starts a manager.
type Start func(Config) (Subject, error)

// All returns all subjects, by name.
func All() map[string]Start {
	return map[string]Start{"docker": Docker, "dovetail": Dovetail}
}

// Subject is a plugin manager and its store.
type Subject interface {
	CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error
	Enable(refOrID string, config *backend.PluginEnableConfig) error
	Disable(refOrID string, config *backend.PluginDisableConfig) error
	Inspect(refOrID string) (*types.Plugin, error)
	List(pluginFilters filters.Args) ([]types.Plugin, error)
	Set(name string, args []string) error
	Remove(name string, config *backend.PluginRmConfig) error
	Privileges(ctx context.Context, ref reference.Named, metaHeader http.Header, authConfig *registry.AuthConfig) (types.PluginPrivileges, error)
	Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error
	Upgrade(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) error
	HandleExitEvent(id string) error
	GC()
	Shutdown()

	// Pull pulls with the options of a swarm service. An empty service and no
	// env mean no options.
	Pull(ctx context.Context, ref reference.Named, name string, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, service string, env []string) error
	// Plugin is the manager's Get.
	Plugin(idOrName string) (Plugin, error)
	// Subscribe is the manager's SubscribeEvents.
	Subscribe(buffer int, filters ...Filter) (<-chan interface{}, func())
	// Store is the manager's store.
	Store() Store
}

// Store is a manager's store.
type Store interface {
	plugingetter.PluginGetter
	// Mount registers a runtime option that adds a mount.
	Mount(capability string, mount specs.Mount)
	// Lookup is the store's GetV2Plugin.
	Lookup(refOrID string) (Plugin, error)
	// Names returns the names of all plugins, by ID.
	Names() map[string]string
}

// Plugin is a live handle of a plugin.
type Plugin interface {
	plugingetter.CompatPlugin
	plugingetter.CountedPlugin
	plugingetter.PluginAddr
	Client() *plugins.Client
	GetID() string
	GetRefCount() int
	GetSocket() string
	GetTypes() []types.PluginInterfaceType
	InitSpec(execRoot string) (*specs.Spec, error)
	IsEnabled() bool
}

// Filter selects the events of a subscription: one of the four kinds that both
// managers have, by its name in the daemon's log.
type Filter struct {
	Action events.Action
	// Interfaces selects created plugins with one of these interfaces. Nil
	// selects all.
	Interfaces map[string]bool
	// ID selects the events of one plugin, except its creation. Empty selects
	// all.
	ID string
}

func (f Filter) plugin() types.Plugin { return types.Plugin{ID: f.ID} }

// Describe returns the type of a subject's event and its plugin's name, if it
// has one, as both subjects call them.
func Describe(event interface{}) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", event), "plugin.")
	value := reflect.ValueOf(event)
	if value.Kind() != reflect.Struct {
		return kind
	}
	if field := value.FieldByName("Plugin"); field.IsValid() {
		if p, ok := field.Interface().(types.Plugin); ok {
			return fmt.Sprintf("%s %s enabled=%t", kind, p.Name, p.Enabled)
		}
	}
	return kind
}
