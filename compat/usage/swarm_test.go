// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/registry"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	v2 "github.com/dovetailhq/plugin/v2"
)

// swarmBackend is the backend interface of the plugin controller in docker's
// swarm mode.
type swarmBackend interface {
	Disable(name string, config *backend.PluginDisableConfig) error
	Enable(name string, config *backend.PluginEnableConfig) error
	Remove(name string, config *backend.PluginRmConfig) error
	Pull(ctx context.Context, ref reference.Named, name string, metaHeaders http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...plugin.CreateOpt) error
	Upgrade(ctx context.Context, ref reference.Named, name string, metaHeaders http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) error
	Get(name string) (*v2.Plugin, error)
	SubscribeEvents(buffer int, events ...plugin.Event) (eventCh <-chan interface{}, cancel func())
}

var _ swarmBackend = (*plugin.Manager)(nil)

// controller keeps one plugin in the state that its service asks for.
type controller struct {
	backend   swarmBackend
	pluginID  string
	serviceID string
}

// prepare takes a plugin over, or pulls it for the service.
func (c *controller) prepare(ctx context.Context, ref reference.Named, env []string) error {
	name := reference.FamiliarString(ref)
	p, err := c.backend.Get(name)
	if err == nil {
		p.Acquire()
		c.pluginID = p.GetID()
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return err
	}
	return c.backend.Pull(ctx, ref, name, nil, &registry.AuthConfig{}, types.PluginPrivileges{}, io.Discard,
		plugin.WithSwarmService(c.serviceID), plugin.WithEnv(env))
}

func (c *controller) start() error {
	p, err := c.backend.Get(c.pluginID)
	if err != nil || p.IsEnabled() {
		return err
	}
	return c.backend.Enable(c.pluginID, &backend.PluginEnableConfig{Timeout: 30})
}

// wait returns the reason once the plugin's state is not the service's any
// more.
func (c *controller) wait(ctx context.Context, waiting chan<- struct{}) error {
	p, err := c.backend.Get(c.pluginID)
	if err != nil {
		return err
	}
	events, cancel := c.backend.SubscribeEvents(1,
		plugin.EventDisable{Plugin: p.PluginObj}, plugin.EventRemove{Plugin: p.PluginObj}, plugin.EventEnable{Plugin: p.PluginObj})
	defer cancel()
	close(waiting)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-events:
			switch event.(type) {
			case plugin.EventRemove:
				return errors.New("plugin removed")
			case plugin.EventDisable:
				return errors.New("plugin disabled")
			}
		}
	}
}

func (c *controller) remove() error {
	p, err := c.backend.Get(c.pluginID)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	p.Release()
	if p.GetRefCount() > 0 {
		return nil
	}
	return c.backend.Remove(c.pluginID, &backend.PluginRmConfig{ForceRemove: true})
}

func TestSwarm(t *testing.T) {
	d, executor := start(t)
	create(t, d, "example.com/swarm:1", "docker.volumedriver/1.0")
	create(t, d, "example.com/other:1", "docker.volumedriver/1.0")
	ref, err := reference.ParseNormalizedNamed("example.com/swarm:1")
	assert.NilError(t, err)

	c := &controller{backend: d.PluginManager(), serviceID: "service"}
	assert.NilError(t, c.prepare(t.Context(), ref, []string{"A=1"}))
	assert.NilError(t, c.start())
	assert.NilError(t, c.start())
	assert.Equal(t, executor.Started(c.pluginID), 1)

	waiting, waited := make(chan struct{}), make(chan error, 1)
	go func() { waited <- c.wait(t.Context(), waiting) }()
	<-waiting
	// This controller ignores events of other plugins.
	assert.NilError(t, d.PluginManager().Enable("example.com/other:1", &backend.PluginEnableConfig{}))
	assert.NilError(t, d.PluginManager().Disable("example.com/other:1", &backend.PluginDisableConfig{}))
	assert.NilError(t, d.PluginManager().Disable(c.pluginID, &backend.PluginDisableConfig{ForceDisable: true}))
	assert.Error(t, <-waited, "plugin disabled")

	assert.NilError(t, c.remove())
	_, err = d.PluginManager().Get(c.pluginID)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	assert.NilError(t, c.remove())
}

// A swarm manager finds network drivers by the events of plugins with that
// interface.
func TestSwarmWatchesInterfaces(t *testing.T) {
	d, _ := start(t)
	events, cancel := d.PluginManager().SubscribeEvents(10, plugin.EventCreate{Interfaces: map[string]bool{"networkdriver": true}})
	defer cancel()
	create(t, d, "example.com/volume:1", "docker.volumedriver/1.0")
	create(t, d, "example.com/network:1", "docker.networkdriver/1.0")
	create(t, d, "example.com/another:1", "docker.volumedriver/1.0")
	created, ok := (<-events).(plugin.EventCreate)
	assert.Check(t, ok)
	assert.Equal(t, created.Plugin.Name, "example.com/network:1")
	assert.Equal(t, len(events), 0)
}
