// Package subject gives docker's plugin manager and ours one face, so that one
// driver can make both do the same.
//
// A [Subject] is a running manager. Methods whose signatures have no type of
// the plugin packages are the manager's own; the others are reduced to what
// can be said without such a type.
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

// Config is what a subject is started with. It outlives the subject, as a host
// outlives a daemon.
type Config struct {
	Root, ExecRoot string
	// Executor runs the plugins; nil makes a manager without one.
	Executor    *plugintest.Executor
	LiveRestore bool
	Registry    *registryservice.Service
	Authz       *authorization.Middleware
	// Log is told what the daemon's event stream would show.
	Log func(id, name string, action events.Action)
}

// Start starts a manager.
type Start func(Config) (Subject, error)

// All is the subjects there are, by name.
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

	// Pull pulls with the options that a swarm service gives; an empty
	// service and no env are no options.
	Pull(ctx context.Context, ref reference.Named, name string, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, service string, env []string) error
	// Plugin is the manager's Get.
	Plugin(idOrName string) (Plugin, error)
	// Subscribe is SubscribeEvents.
	Subscribe(buffer int, filters ...Filter) (<-chan interface{}, func())
	// Store is the manager's store.
	Store() Store
}

// Store is a manager's store.
type Store interface {
	plugingetter.PluginGetter
	// Mount registers a runtime option that adds a mount.
	Mount(capability string, mount specs.Mount)
	// Lookup is GetV2Plugin.
	Lookup(refOrID string) (Plugin, error)
	// Names is the names of all plugins, by id.
	Names() map[string]string
}

// Plugin is a live handle.
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

// Filter is an event that subscribers watch for: one of the four kinds that
// both have, as events are called in the daemon's log.
type Filter struct {
	Action events.Action
	// Interfaces is what a created plugin must have one of; nil for any.
	Interfaces map[string]bool
	// ID is that of the one plugin that is watched, but not as it is created;
	// empty for any.
	ID string
}

func (f Filter) plugin() types.Plugin { return types.Plugin{ID: f.ID} }

// Describe says what an event of a subject is, in words that both share: its
// type and the name of its plugin, if it is about one.
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
