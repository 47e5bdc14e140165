// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/docker/docker/registry"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	pluginexec "github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
	v2 "github.com/dovetailhq/plugin/v2"
)

// The interfaces by which the rest of a daemon knows plugins.
var (
	_ plugingetter.PluginGetter       = (*plugin.Store)(nil)
	_ plugingetter.CompatPlugin       = (*v2.Plugin)(nil)
	_ plugingetter.CountedPlugin      = (*v2.Plugin)(nil)
	_ plugingetter.PluginWithV1Client = (*v2.Plugin)(nil)
	_ plugingetter.PluginAddr         = (*v2.Plugin)(nil)
	_ plugin.Executor                 = (*pluginexec.Executor)(nil)
	_ pluginexec.ExitHandler          = (*plugin.Manager)(nil)
	_ plugin.EndpointResolver         = (*registry.Service)(nil)
	_ sync.Locker                     = (*plugin.Store)(nil)
)

// daemon has the plugin-related fields and methods of a docker 28 daemon.
type daemon struct {
	PluginStore   *plugin.Store
	pluginManager *plugin.Manager
	authz         *authorization.Middleware

	mu      sync.Mutex
	actions []events.Action
}

type config struct {
	root, execRoot      string
	containerdAddress   string
	containerdNamespace string
	liveRestore         bool
	executor            plugin.ExecutorCreator // nil is containerd's
}

// newDaemon makes the manager as docker's daemon does: with a store that other
// parts hold already, and without any field that docker lacks.
func newDaemon(ctx context.Context, c config, store *plugin.Store, authz *authorization.Middleware) (*daemon, error) {
	d := &daemon{PluginStore: store}
	registryService, err := registry.NewService(registry.ServiceOptions{})
	if err != nil {
		return nil, err
	}
	createExecutor := func(m *plugin.Manager) (plugin.Executor, error) {
		client, err := containerd.New(c.containerdAddress, containerd.WithDefaultNamespace(c.containerdNamespace))
		if err != nil {
			return nil, err
		}
		return pluginexec.New(ctx, c.execRoot, client, c.containerdNamespace, m, "io.containerd.runc.v2", nil)
	}
	if c.executor != nil {
		createExecutor = c.executor
	}
	d.pluginManager, err = plugin.NewManager(plugin.ManagerConfig{
		Root:               filepath.Join(c.root, "plugins"),
		ExecRoot:           c.execRoot,
		Store:              d.PluginStore,
		CreateExecutor:     createExecutor,
		RegistryService:    registryService,
		LiveRestoreEnabled: c.liveRestore,
		LogPluginEvent:     d.LogPluginEvent,
		AuthzMiddleware:    authz,
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// LogPluginEvent receives the events for the daemon's event stream.
func (d *daemon) LogPluginEvent(_, _ string, action events.Action) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actions = append(d.actions, action)
}

func (d *daemon) PluginManager() *plugin.Manager { return d.pluginManager }

func (d *daemon) PluginGetter() *plugin.Store { return d.PluginStore }

// registerMetrics hooks into plugins as docker's metrics do.
func registerMetrics(store *plugin.Store, socket string, started func(name string)) {
	const capability = "MetricsCollector"
	store.RegisterRuntimeOpt(capability, func(s *specs.Spec) {
		option := plugin.WithSpecMounts([]specs.Mount{
			{Type: "bind", Source: socket, Destination: "/run/docker/metrics.sock", Options: []string{"bind", "ro"}},
		})
		option(s)
	})
	store.Handle(capability, func(name string, client *plugins.Client) {
		if p, err := store.Get(name, capability, plugingetter.Lookup); err == nil && client != nil {
			started(p.Name())
		}
	})
}

// start starts a daemon on a fake executor, with an empty root.
func start(t *testing.T, authorizedBy ...string) (*daemon, *plugintest.Executor) {
	t.Helper()
	executortest.VerifyNoLeaks(t)
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	executor := &plugintest.Executor{}
	t.Cleanup(executor.KillAll)
	createExecutor := func(m *plugin.Manager) (plugin.Executor, error) {
		executor.HandleExits(func(id string) { _ = m.HandleExitEvent(id) })
		return executor, nil
	}
	store := plugin.NewStore()
	authz := authorization.NewMiddleware(authorizedBy, store)
	d, err := newDaemon(t.Context(), config{root: t.TempDir(), execRoot: execRoot, executor: createExecutor}, store, authz)
	assert.NilError(t, err)
	t.Cleanup(d.PluginManager().Shutdown)
	d.authz = authz
	return d, executor
}

// create installs a plugin of the given interface.
func create(t *testing.T, d *daemon, name, implements string) {
	t.Helper()
	buildContext := plugintest.BuildContext(plugintest.Config(implements), nil)
	err := d.PluginManager().CreateFromContext(t.Context(), buildContext, &types.PluginCreateOptions{RepoName: name})
	assert.NilError(t, err)
}

func TestDaemon(t *testing.T) {
	d, executor := start(t)
	started := make(chan string, 1)
	registerMetrics(d.PluginGetter(), "/run/metrics.sock", func(name string) { started <- name })
	create(t, d, "example.com/metrics:1", "docker.metricscollector/1.0")
	assert.NilError(t, d.PluginManager().Enable("example.com/metrics:1", &backend.PluginEnableConfig{Timeout: 5}))
	assert.Equal(t, <-started, "example.com/metrics:1")

	p, err := d.PluginManager().Get("example.com/metrics:1")
	assert.NilError(t, err)
	spec := executor.Specs(p.GetID())[0]
	assert.Check(t, slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/run/docker/metrics.sock" }))

	assert.NilError(t, d.PluginManager().Disable(p.GetID(), &backend.PluginDisableConfig{}))
	assert.NilError(t, d.PluginManager().Remove("example.com/metrics:1", &backend.PluginRmConfig{}))
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.DeepEqual(t, d.actions, []events.Action{events.ActionCreate, events.ActionEnable, events.ActionDisable, events.ActionRemove})
}

// The authorization middleware finds its plugins through a getter that it got
// before the manager existed, and drops a plugin that is disabled.
func TestDaemonAuthorizes(t *testing.T) {
	const name = "example.com/authz:1"
	d, executor := start(t, name)
	asked := make(chan string, 10)
	executor.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		_, _ = w.Write([]byte(`{"Allow":true}`))
	})
	create(t, d, name, "docker.authz/1.0")
	assert.NilError(t, d.PluginManager().Enable(name, &backend.PluginEnableConfig{}))

	request := func() error {
		handler := d.authz.WrapHandler(func(context.Context, http.ResponseWriter, *http.Request, map[string]string) error { return nil })
		return handler(t.Context(), httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/_ping", nil), nil)
	}
	assert.NilError(t, request())
	assert.Equal(t, <-asked, "/"+authorization.AuthZApiRequest)
	assert.Equal(t, <-asked, "/"+authorization.AuthZApiResponse)

	assert.NilError(t, d.PluginManager().Disable(name, &backend.PluginDisableConfig{}))
	assert.NilError(t, request())
	assert.Equal(t, len(asked), 0)
}
