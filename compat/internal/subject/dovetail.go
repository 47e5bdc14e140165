// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"io"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin"
)

type dovetail struct {
	*plugin.Manager
	store *plugin.Store
}

// Dovetail starts our manager.
func Dovetail(c Config) (Subject, error) {
	store := plugin.NewStore()
	config := plugin.ManagerConfig{
		Store:              store,
		Root:               c.Root,
		ExecRoot:           c.ExecRoot,
		LiveRestoreEnabled: c.LiveRestore,
		LogPluginEvent:     c.Log,
		AuthzMiddleware:    c.Authz,
		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
			if c.Executor == nil {
				return nil, nil
			}
			c.Executor.HandleExits(func(id string) { _ = m.HandleExitEvent(id) })
			return c.Executor, nil
		},
	}
	if c.Registry != nil {
		config.RegistryService = c.Registry
	}
	m, err := plugin.NewManager(config)
	if err != nil {
		return nil, err
	}
	return dovetail{Manager: m, store: store}, nil
}

func (d dovetail) Pull(ctx context.Context, ref reference.Named, name string, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, service string, env []string) error {
	var options []plugin.CreateOpt
	if service != "" {
		options = append(options, plugin.WithSwarmService(service))
	}
	if len(env) > 0 {
		options = append(options, plugin.WithEnv(env))
	}
	return d.Manager.Pull(ctx, ref, name, nil, authConfig, privileges, outStream, options...)
}

func (d dovetail) Plugin(idOrName string) (Plugin, error) {
	p, err := d.Get(idOrName)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (d dovetail) Subscribe(buffer int, filters ...Filter) (<-chan interface{}, func()) {
	var watched []plugin.Event
	for _, f := range filters {
		switch f.Action {
		case events.ActionCreate:
			watched = append(watched, plugin.EventCreate{Interfaces: f.Interfaces})
		case events.ActionRemove:
			watched = append(watched, plugin.EventRemove{Plugin: f.plugin()})
		case events.ActionEnable:
			watched = append(watched, plugin.EventEnable{Plugin: f.plugin()})
		case events.ActionDisable:
			watched = append(watched, plugin.EventDisable{Plugin: f.plugin()})
		}
	}
	return d.SubscribeEvents(buffer, watched...)
}

func (d dovetail) Store() Store { return dovetailStore{d.store} }

type dovetailStore struct{ *plugin.Store }

func (s dovetailStore) Mount(capability string, mount specs.Mount) {
	s.RegisterRuntimeOpt(capability, plugin.WithSpecMounts([]specs.Mount{mount}))
}

func (s dovetailStore) Lookup(refOrID string) (Plugin, error) {
	p, err := s.GetV2Plugin(refOrID)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s dovetailStore) Names() map[string]string {
	names := map[string]string{}
	for id, p := range s.GetAll() {
		names[id] = p.Name()
	}
	return names
}
