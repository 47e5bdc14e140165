// SPDX-License-Identifier: Apache-2.0

// Package subject gives docker's plugin manager and ours one interface, so that
// each benchmark is written once.
package subject

import (
	"context"
	"io"
	"net/http"
	"syscall"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/plugingetter"
	registryservice "github.com/docker/docker/registry"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Executor has the methods of both managers' executors.
type Executor interface {
	Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	IsRunning(id string) (bool, error)
	Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error)
	Signal(id string, signal syscall.Signal) error
}

// ExitHandler is the part of a manager to which an executor reports.
type ExitHandler interface {
	HandleExitEvent(id string) error
}

// Config is the config of a subject.
type Config struct {
	Root, ExecRoot string
	// Executor makes the executor.
	Executor func(ExitHandler) (Executor, error)
	Registry *registryservice.Service
}

// Subject is a plugin manager and its store.
type Subject interface {
	CreateFromContext(ctx context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error
	Enable(refOrID string, config *backend.PluginEnableConfig) error
	Disable(refOrID string, config *backend.PluginDisableConfig) error
	Remove(name string, config *backend.PluginRmConfig) error
	List(pluginFilters filters.Args) ([]types.Plugin, error)
	Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) error
	GC()
	Shutdown()

	// Pull is the manager's Pull without options.
	Pull(ctx context.Context, ref reference.Named, name string) error
	// Subscribe is SubscribeEvents without filters.
	Subscribe(buffer int) (<-chan interface{}, func())
	// Spec returns the spec that a plugin runs with.
	Spec(refOrID string) (*specs.Spec, error)
	// Store is the manager's store.
	Store() Store
}

// Store is a manager's store.
type Store interface {
	plugingetter.PluginGetter
	// Fill replaces the store's content by enabled plugins.
	Fill(plugins []types.Plugin)
	// Lookup is the store's GetV2Plugin.
	Lookup(refOrID string) error
}

// Start starts a manager.
type Start func(Config) (Subject, error)

// Named is a way to start a manager, with the manager's name.
type Named struct {
	Name  string
	Start Start
}

// All returns docker's manager and ours.
func All() []Named {
	return []Named{{"docker", Docker}, {"dovetail", Dovetail}}
}

func ignoreEvents(string, string, events.Action) {}
