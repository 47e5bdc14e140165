// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/docker/docker/volume"
	"github.com/docker/docker/volume/drivers"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
)

const (
	// bootWait is the default of ManagerConfig.BootWait.
	bootWait = 5 * time.Second
	// firstMoments is how long look-ups wait for a plugin that was just started.
	firstMoments = 2 * time.Second
)

// situation is a state of a plugin "p", enabled unless its name says otherwise,
// and the expected result of look-ups.
type situation struct {
	name       string
	interfaces []string
	bring      func(t *testing.T, v *virtual)
	want       error         // nil if the look-up returns the plugin
	waits      time.Duration // how long a look-up takes
	atMost     bool          // waits is a bound
}

var (
	volumeDriver = []string{"docker.volumedriver/1.0"}
	authz        = []string{"docker.authz/1.0"}
	down         = &plugin.UnavailableError{}
)

var situations = []situation{
	{name: "disabled", interfaces: volumeDriver, want: &plugin.DisabledError{},
		bring: func(*testing.T, *virtual) {}},
	{name: "serving", interfaces: volumeDriver,
		bring: func(t *testing.T, v *virtual) { assert.NilError(t, v.Enable("p", nil)) }},
	{name: "serving, all kinds", interfaces: []string{"docker.volumedriver/1.0", "docker.networkdriver/1.0", "docker.ipamdriver/1.0", "docker.logdriver/1.0", "docker.authz/1.0"},
		bring: func(t *testing.T, v *virtual) { assert.NilError(t, v.Enable("p", nil)) }},
	{name: "serving another protocol", interfaces: volumeDriver,
		bring: reboot(script{}, func(t *testing.T, v *virtual) {
			v.rewrite(t, func(p *types.Plugin) { p.Config.Interface.ProtocolScheme = "grpc" })
		})},
	{name: "invalid record", interfaces: volumeDriver, want: down,
		bring: reboot(script{}, unsound)},
	{name: "authorization, invalid record", interfaces: authz, want: down,
		bring: reboot(script{}, unsound)},
	{name: "socket path too long", interfaces: volumeDriver, want: down,
		bring: reboot(script{}, func(t *testing.T, v *virtual) {
			v.config.ExecRoot = filepath.Join(v.config.ExecRoot, strings.Repeat("x", 100))
			v.rewrite(t, func(p *types.Plugin) { p.Config.Interface.Socket = strings.Repeat("s", 100) })
		})},
	{name: "long socket path", interfaces: volumeDriver,
		bring: reboot(script{}, func(_ *testing.T, v *virtual) {
			v.config.ExecRoot = filepath.Join(v.config.ExecRoot, strings.Repeat("x", 100))
		})},
	{name: "silent since boot", interfaces: volumeDriver, want: down,
		bring: reboot(script{ready: never}, func(*testing.T, *virtual) {})},
	{name: "authorization, silent since boot", interfaces: authz,
		bring: reboot(script{ready: never}, func(*testing.T, *virtual) {})},
	{name: "silent, right after boot", interfaces: volumeDriver, want: down, waits: firstMoments - time.Nanosecond,
		bring: reboot(script{ready: never}, func(_ *testing.T, v *virtual) { v.config.BootWait = time.Nanosecond })},
	{name: "slow, right after boot", interfaces: volumeDriver, waits: time.Second - time.Nanosecond,
		bring: reboot(script{ready: time.Second}, func(_ *testing.T, v *virtual) { v.config.BootWait = time.Nanosecond })},
	{name: "manager without an executor", interfaces: volumeDriver, want: down, waits: firstMoments, atMost: true,
		bring: reboot(script{}, func(_ *testing.T, v *virtual) {
			v.config.CreateExecutor = func(*plugin.Manager) (plugin.Executor, error) { return nil, nil }
		})},
	{name: "exited, waiting for its restart", interfaces: volumeDriver, want: down,
		bring: func(t *testing.T, v *virtual) {
			v.config.Backoff = time.Hour
			v.Shutdown()
			v.start(t)
			assert.NilError(t, v.Enable("p", nil))
			v.end(v.ids["p"], v.run(v.ids["p"]))
			synctest.Wait()
		}},
	{name: "exited, about to be restarted", interfaces: volumeDriver, waits: 50 * time.Millisecond,
		bring: func(t *testing.T, v *virtual) {
			assert.NilError(t, v.Enable("p", nil))
			v.scripts[v.ids["p"]] = script{ready: 50 * time.Millisecond}
			v.end(v.ids["p"], v.run(v.ids["p"]))
			synctest.Wait()
			time.Sleep(time.Until(*status(t, v).NextRetry))
			synctest.Wait()
		}},
	{name: "in a crash loop", interfaces: volumeDriver, want: down,
		bring: func(t *testing.T, v *virtual) {
			v.scripts[v.ids["p"]] = script{lives: time.Second}
			assert.NilError(t, v.Enable("p", nil))
			time.Sleep(time.Minute)
			for status(t, v).State != "backoff" {
				time.Sleep(time.Second)
			}
		}},
	{name: "after a shutdown", interfaces: volumeDriver, want: down,
		bring: func(t *testing.T, v *virtual) { assert.NilError(t, v.Enable("p", nil)); v.Shutdown() }},
}

func unsound(t *testing.T, v *virtual) {
	v.rewrite(t, func(p *types.Plugin) { p.Config.Interface.Socket = "../other/plugin.sock" })
}

// rewrite changes the record of p between two managers.
func (v *virtual) rewrite(t *testing.T, change func(*types.Plugin)) {
	t.Helper()
	w := &world{&testworld.World{T: t, Config: v.config}}
	w.rewrite(v.ids["p"], change)
}

// reboot enables the plugin, and boots a second manager after a change.
func reboot(next script, change func(t *testing.T, v *virtual)) func(t *testing.T, v *virtual) {
	return func(t *testing.T, v *virtual) {
		t.Helper()
		assert.NilError(t, v.Enable("p", nil))
		v.Shutdown()
		next.interfaces = v.scripts[v.ids["p"]].interfaces
		v.scripts[v.ids["p"]] = next
		change(t, v)
		v.start(t)
	}
}

func status(t *testing.T, v *virtual) *plugin.Status {
	t.Helper()
	status, err := v.Status("p")
	assert.NilError(t, err)
	return status
}

// inSituation runs test in each situation, with a capability of the plugin.
func inSituation(t *testing.T, test func(t *testing.T, v *virtual, s situation, capability string)) {
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			for _, typ := range s.interfaces {
				capability := strings.TrimSuffix(strings.TrimPrefix(typ, "docker."), "/1.0")
				scripts := func(string) script { return script{interfaces: s.interfaces} }
				inVirtualTime(t, []string{"p"}, scripts, func(t *testing.T, v *virtual) {
					v.config.BootWait = 0
					s.bring(t, v)
					test(t, v, s, capability)
				})
			}
		})
	}
}

// dereference uses a plugin as docker's volume store, network drivers,
// authorization and log drivers do. Like swarm, it also takes the address.
func dereference(t *testing.T, p plugingetter.CompatPlugin) {
	t.Helper()
	client := p.(plugingetter.PluginWithV1Client).Client()
	err := client.CallWithOptions("Plugin.Activate", nil, nil, plugins.WithRequestTimeout(time.Second))
	assert.Check(t, is.ErrorContains(err, ""), "the socket of a scripted plugin is made up")
	address := p.(plugingetter.PluginAddr)
	_, err = plugins.NewClientWithTimeout(address.Addr().Network()+"://"+address.Addr().String(), nil, address.Timeout())
	assert.Check(t, err)
	assert.Check(t, p.ScopedPath("/") != "" && p.Name() == "p:latest")
}

// TestGettersReturnUsablePlugins looks a plugin up by every getter, in every
// situation, and uses the result without further checks, as docker does.
func TestGettersReturnUsablePlugins(t *testing.T) {
	getters := map[string]func(ps *plugin.Store, capability string) ([]plugingetter.CompatPlugin, error){
		"list of managed plugins": func(ps *plugin.Store, capability string) ([]plugingetter.CompatPlugin, error) {
			return ps.GetAllManagedPluginsByCap(strings.ToUpper(capability)), nil
		},
		"list": func(ps *plugin.Store, capability string) ([]plugingetter.CompatPlugin, error) {
			return ps.GetAllByCap(capability)
		},
	}
	for name, mode := range map[string]int{"look up": plugingetter.Lookup, "acquire": plugingetter.Acquire, "release": plugingetter.Release} {
		getters[name] = func(ps *plugin.Store, capability string) ([]plugingetter.CompatPlugin, error) {
			p, err := ps.Get("p", capability, mode)
			if err != nil {
				assert.Check(t, p == nil)
				return nil, err
			}
			return []plugingetter.CompatPlugin{p}, nil
		}
	}
	for name, get := range getters {
		t.Run(name, func(t *testing.T) {
			inSituation(t, func(t *testing.T, v *virtual, s situation, capability string) {
				var given []plugingetter.CompatPlugin
				var err error
				spent := took(func() { given, err = get(v.config.Store, capability) })
				assert.Check(t, spent == s.waits || s.atMost && spent < s.waits, "it took %s", spent)
				if strings.HasPrefix(name, "list") {
					assert.NilError(t, err)
				} else if s.want != nil {
					assert.Check(t, is.ErrorType(err, s.want), "%v", err)
				} else {
					assert.NilError(t, err)
				}
				assert.Equal(t, len(given) == 1, s.want == nil)
				for _, p := range given {
					dereference(t, p)
				}
			})
		})
	}
}

// TestDockersVolumeStoreUsesPlugins lists and looks up drivers as docker's daemon
// does. A plugin that is not returned costs no more time than the wait.
func TestDockersVolumeStoreUsesPlugins(t *testing.T) {
	inSituation(t, func(t *testing.T, v *virtual, s situation, capability string) {
		if capability != "volumedriver" {
			return
		}
		store := drivers.NewStore(v.config.Store)
		var listed []volume.Driver
		var err error
		spent := took(func() { listed, err = store.GetAllDrivers() })
		assert.NilError(t, err)
		assert.Check(t, spent <= s.waits, "it took %s", spent)
		assert.Equal(t, len(listed) == 1, s.want == nil)
		for _, driver := range listed {
			_, err := driver.List()
			assert.Check(t, is.ErrorContains(err, "plugin.sock"))
		}
		for name, lookUp := range map[string]func(string) (volume.Driver, error){
			"get": store.GetDriver, "create": store.CreateDriver, "release": store.ReleaseDriver,
		} {
			spent := took(func() { _, err = lookUp("p") })
			if s.want != nil {
				assert.Check(t, errors.As(err, new(*plugin.UnavailableError)) || errors.As(err, new(*plugin.DisabledError)), "%s: %v", name, err)
				assert.Check(t, spent <= s.waits, "%s took %s", name, spent)
			} else {
				assert.Check(t, err, name)
			}
		}
	})
}

// TestDockersAuthorizationUsesPlugins calls a plugin as the daemon's middleware
// does, which reads the plugin's name before it checks the error. A daemon looks
// the plugin up when it starts, and does not start on an error.
func TestDockersAuthorizationUsesPlugins(t *testing.T) {
	inSituation(t, func(t *testing.T, v *virtual, s situation, capability string) {
		if capability != authorization.AuthZApiImplements {
			return
		}
		_, err := v.config.Store.Get("p", capability, plugingetter.Lookup)
		assert.Equal(t, err == nil, s.want == nil)
		if err != nil {
			return
		}
		served := false
		middleware := authorization.NewMiddleware([]string{"p"}, v.config.Store)
		handler := middleware.WrapHandler(func(context.Context, http.ResponseWriter, *http.Request, map[string]string) error {
			served = true
			return nil
		})
		err = handler(t.Context(), httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil), nil)
		assert.Check(t, is.ErrorContains(err, "AuthZPlugin.AuthZReq"))
		assert.Check(t, !served, "a request is let through")
	})
}

// TestReferencesOfPluginsThatAreDown releases references that were acquired while
// the plugin served. A failed attempt to acquire a reference leaves none.
func TestReferencesOfPluginsThatAreDown(t *testing.T) {
	inSituation(t, func(t *testing.T, v *virtual, s situation, capability string) {
		p, err := v.Get("p")
		assert.NilError(t, err)
		p.Acquire()
		p.Acquire()
		_, err = v.config.Store.Get("p", capability, plugingetter.Acquire)
		given := 2
		if s.want == nil {
			given = 3
		}
		assert.Equal(t, err == nil, s.want == nil)
		assert.Equal(t, p.GetRefCount(), given)
		_, err = v.config.Store.Get("p", capability, plugingetter.Release)
		assert.Equal(t, err == nil, s.want == nil)
		if !is.ErrorType(err, &plugin.DisabledError{})().Success() {
			given--
		}
		assert.Equal(t, p.GetRefCount(), given)
	})
}

// TestUnavailableErrorMatchesStatus compares the error's fields with Status.
func TestUnavailableErrorMatchesStatus(t *testing.T) {
	inSituation(t, func(t *testing.T, v *virtual, s situation, capability string) {
		_, err := v.config.Store.Get("p", capability, plugingetter.Lookup)
		var unavailable *plugin.UnavailableError
		if !errors.As(err, &unavailable) {
			assert.Check(t, s.want != down, "%v", err)
			return
		}
		assert.Check(t, errdefs.IsUnavailable(err) && !errdefs.IsInvalidArgument(err))
		assert.Check(t, !strings.Contains(err.Error(), "\n"), "%v", err)
		assert.Check(t, is.Contains(err.Error(), "p:latest"))
		seen := status(t, v)
		assert.Equal(t, unavailable.State, seen.State)
		assert.DeepEqual(t, unavailable.LastExit, seen.LastExit)
		assert.Equal(t, unavailable.LastError, seen.LastError)
		if seen.NextRetry != nil {
			assert.Equal(t, unavailable.NextRetry, *seen.NextRetry)
			assert.Check(t, is.Contains(err.Error(), seen.NextRetry.Format(time.RFC3339)))
		}
		if seen.LastExit != nil {
			assert.Check(t, is.Contains(err.Error(), fmt.Sprintf("code %d", seen.LastExit.Code)))
		}
	})
}

// TestPluginThatWasDownComesBack looks a plugin up while it is down, and again
// when it serves.
func TestPluginThatWasDownComesBack(t *testing.T) {
	inVirtualTime(t, []string{"p"}, func(string) script { return script{interfaces: volumeDriver} }, func(t *testing.T, v *virtual) {
		v.config.BootWait = 0
		assert.NilError(t, v.Enable("p", nil))
		v.Shutdown()
		v.scripts[v.ids["p"]] = script{ready: 7 * time.Second}
		assert.Equal(t, took(func() { v.start(t) }), bootWait)
		_, err := v.config.Store.Get("p", "volumedriver", plugingetter.Lookup)
		assert.Check(t, is.ErrorType(err, down))
		assert.Equal(t, len(v.config.Store.GetAllManagedPluginsByCap("volumedriver")), 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, err = v.config.Store.Get("p", "volumedriver", plugingetter.Lookup)
		assert.NilError(t, err)
		assert.Equal(t, len(v.config.Store.GetAllManagedPluginsByCap("volumedriver")), 1)
	})
}

// TestWaitersLearnOfADisable disables a plugin in its first moments.
func TestWaitersLearnOfADisable(t *testing.T) {
	inVirtualTime(t, []string{"p"}, func(string) script { return script{interfaces: volumeDriver} }, func(t *testing.T, v *virtual) {
		assert.NilError(t, v.Enable("p", nil))
		v.Shutdown()
		v.scripts[v.ids["p"]] = script{ready: never}
		v.config.BootWait = time.Nanosecond
		v.start(t)
		looked := make(chan error, 1)
		go func() {
			_, err := v.config.Store.Get("p", "volumedriver", plugingetter.Acquire)
			looked <- err
		}()
		time.Sleep(time.Second)
		assert.NilError(t, v.Disable("p", nil))
		assert.Equal(t, took(func() { assert.Check(t, is.ErrorType(<-looked, &plugin.DisabledError{})) }), time.Duration(0))
	})
}

// TestListsWaitOnceForAll starts many plugins one after the other. A list waits
// for all of them together, and not for each in turn.
func TestListsWaitOnceForAll(t *testing.T) {
	names := numbered("p", 20)
	inVirtualTime(t, names, func(string) script { return script{interfaces: volumeDriver} }, func(t *testing.T, v *virtual) {
		v.enableAll(t, names)
		for i, name := range names {
			v.scripts[v.ids[name]] = script{ready: never}
			time.AfterFunc(time.Duration(i)*time.Second, func() { v.end(v.ids[name], v.run(v.ids[name])) })
		}
		synctest.Wait()
		spent := took(func() { v.config.Store.GetAllManagedPluginsByCap("volumedriver") })
		assert.Equal(t, spent, firstMoments)
	})
}

// TestOneSilentPluginHoldsBootUpForBootWait boots a plugin that never serves, of
// each boot group in turn, and plugins that do serve.
func TestOneSilentPluginHoldsBootUpForBootWait(t *testing.T) {
	for _, silent := range []string{"docker.authz/1.0", "docker.networkdriver/1.0", "docker.volumedriver/1.0"} {
		t.Run(silent, func(t *testing.T) {
			scripts := func(name string) script {
				if name == "silent" {
					return script{interfaces: []string{silent}}
				}
				return script{interfaces: volumeDriver}
			}
			inVirtualTime(t, []string{"silent", "p"}, scripts, func(t *testing.T, v *virtual) {
				v.enableAll(t, []string{"silent", "p"})
				v.Shutdown()
				v.scripts[v.ids["silent"]] = script{ready: never, interfaces: []string{silent}}
				v.config.BootWait = 0
				assert.Equal(t, took(func() { v.start(t) }), bootWait)
				p, err := v.config.Store.Get("p", "volumedriver", plugingetter.Lookup)
				assert.NilError(t, err, "another plugin waits for the silent one")
				assert.Equal(t, p.Name(), "p:latest")

				v.Shutdown()
				v.config.BootWait = -1
				assert.Equal(t, took(func() { v.start(t) }), 15*time.Second, "until it failed once")
			})
		})
	}
}

// TestCallTimeoutHoldsAfterABoot sets a timeout and boots. The client that is
// created before the run has the timeout.
func TestCallTimeoutHoldsAfterABoot(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	assert.NilError(t, w.Enable(id, &backend.PluginEnableConfig{Timeout: 7}))
	w.restart()
	p, err := w.Get(id)
	assert.NilError(t, err)
	assert.Equal(t, p.Timeout(), 7*time.Second)
	assert.Check(t, p.Client() != nil)
}
