// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"io"
	"net"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	dockerplugins "github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin"
	v2 "github.com/dovetailhq/plugin/v2"
)

type dovetail struct {
	*plugin.Manager
	store    *plugin.Store
	execRoot string
}

// Dovetail starts our manager.
func Dovetail(c Config) (Subject, error) {
	store := plugin.NewStore()
	config := plugin.ManagerConfig{
		Store:          store,
		Root:           c.Root,
		ExecRoot:       c.ExecRoot,
		LogPluginEvent: ignoreEvents,
		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) { return c.Executor(m) },
	}
	if c.Registry != nil {
		config.RegistryService = c.Registry
	}
	m, err := plugin.NewManager(config)
	if err != nil {
		return nil, err
	}
	return dovetail{Manager: m, store: store, execRoot: c.ExecRoot}, nil
}

func (s dovetail) Pull(ctx context.Context, ref reference.Named, name string) error {
	return s.Manager.Pull(ctx, ref, name, nil, nil, types.PluginPrivileges{}, io.Discard)
}

func (s dovetail) Subscribe(buffer int) (<-chan interface{}, func()) {
	return s.SubscribeEvents(buffer)
}

func (s dovetail) Spec(refOrID string) (*specs.Spec, error) {
	p, err := s.Get(refOrID)
	if err != nil {
		return nil, err
	}
	return p.InitSpec(s.execRoot)
}

func (s dovetail) Store() Store { return dovetailStore{s.store} }

type dovetailStore struct{ *plugin.Store }

func (s dovetailStore) Fill(plugins []types.Plugin) {
	all := make(map[string]*v2.Plugin, len(plugins))
	for _, p := range plugins {
		p.Enabled = true
		serving := &v2.Plugin{PluginObj: p}
		serving.SetPClient(&dockerplugins.Client{})
		serving.SetAddr(&net.UnixAddr{Net: "unix", Name: "/plugin.sock"})
		all[p.ID] = serving
	}
	s.SetAll(all)
}

func (s dovetailStore) Lookup(refOrID string) error {
	_, err := s.GetV2Plugin(refOrID)
	return err
}
