// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package trial runs the plugin of an example under a manager with runc, for the
// example's test.
package trial

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/moby/sys/mountinfo"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/build"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// Daemon is what a daemon has of plugins: a store and a manager.
type Daemon struct {
	Store   *plugin.Store
	Manager *plugin.Manager

	t    testing.TB
	root string
}

// NewDaemon returns a daemon that ends with the test.
func NewDaemon(t testing.TB) *Daemon {
	t.Helper()
	testenv.NeedsRoot(t, "running plugins")
	execRoot, err := os.MkdirTemp("", "ex") // short, because sockets are below it
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	d := &Daemon{Store: plugin.NewStore(), t: t, root: t.TempDir()}
	d.Manager, err = plugin.NewManager(plugin.ManagerConfig{
		Store:    d.Store,
		Root:     d.root,
		ExecRoot: execRoot,
		CreateExecutor: func(m *plugin.Manager) (plugin.Executor, error) {
			return runc.New(filepath.Join(execRoot, "runtime"), m)
		},
	})
	assert.NilError(t, err)
	t.Cleanup(d.Manager.Shutdown)
	return d
}

// Install installs the plugin of the working directory, as plugind build does. The
// build has no warning.
func (d *Daemon) Install(name string) {
	d.t.Helper()
	builder, err := build.New("", build.Options{})
	assert.NilError(d.t, err)
	defer func() { assert.NilError(d.t, builder.Close()) }()
	built, err := builder.Build(context.Background(), build.Source{Package: "."})
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(built.Warnings), 0, "%q", built.Warnings)
	layout, err := builder.Layout(built.Manifest)
	assert.NilError(d.t, err)
	assert.NilError(d.t, d.Manager.CreateFromLayout(context.Background(), layout, &types.PluginCreateOptions{RepoName: name}))
}

// Enable starts a plugin.
func (d *Daemon) Enable(name string) {
	d.t.Helper()
	assert.NilError(d.t, d.Manager.Enable(name, &backend.PluginEnableConfig{}))
}

// Kill kills the process of a plugin, and returns when the plugin is ready again.
func (d *Daemon) Kill(name string) {
	d.t.Helper()
	events, cancel := d.Manager.SubscribeEvents(1, plugin.EventRestarted{})
	defer cancel()
	status, err := d.Manager.Status(name)
	assert.NilError(d.t, err)
	assert.NilError(d.t, syscall.Kill(status.Pid, syscall.SIGKILL))
	<-events
}

// Remove disables and removes a plugin, and checks that nothing of it is left.
func (d *Daemon) Remove(name string) {
	d.t.Helper()
	assert.NilError(d.t, d.Manager.Disable(name, &backend.PluginDisableConfig{}))
	assert.NilError(d.t, d.Manager.Remove(name, &backend.PluginRmConfig{}))
	left, err := d.Manager.List(filters.NewArgs())
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(left), 0)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(d.root))
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(mounts), 0)
}

// Caller calls a plugin through the client that the store has of it.
type Caller struct {
	name, capability string
	daemon           *Daemon
}

// Caller returns the caller of a plugin's capability, such as NetworkDriver.
func (d *Daemon) Caller(name, capability string) Caller {
	return Caller{name: name, capability: capability, daemon: d}
}

// Call calls a method of the capability, as CAPABILITY.method.
func (c Caller) Call(method string, request, response any) error {
	found, err := c.daemon.Store.Get(c.name, c.capability, plugingetter.Lookup)
	if err != nil {
		return err
	}
	return found.(plugingetter.PluginWithV1Client).Client().Call(c.capability+"."+method, request, response)
}
