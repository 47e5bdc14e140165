//go:build linux

package plugin_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/plugins"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// Bounds of verbs with the default timeouts: 15 s for a start, 10 s between
// SIGTERM and SIGKILL, 10 s after it, and some seconds of lateness.
const (
	startBound    = 30 * time.Second
	stopBound     = 25 * time.Second
	shutdownBound = 35 * time.Second
)

// hangVerbs are the verbs that call an executor. Their plugin is disabled, or
// enabled before.
var hangVerbs = []struct {
	name    string
	enabled bool // before
	do      func(pm *plugin.Manager) error
	bound   time.Duration
	gone    bool // there is no process afterwards
}{
	{"enable", false, func(pm *plugin.Manager) error { return pm.Enable("p", nil) }, startBound, false},
	{"disable", true, func(pm *plugin.Manager) error { return pm.Disable("p", nil) }, stopBound, true},
	{"disable by force", true, func(pm *plugin.Manager) error {
		return pm.Disable("p", &backend.PluginDisableConfig{ForceDisable: true})
	}, stopBound, true},
	{"remove by force", true, func(pm *plugin.Manager) error { return pm.Remove("p", forced) }, stopBound, true},
	{"status", true, func(pm *plugin.Manager) error { _, err := pm.Status("p"); return err }, 2 * time.Second, false},
	{"shutdown", true, func(pm *plugin.Manager) error { pm.Shutdown(); return nil }, shutdownBound, false}, // it logs what it left,
}

// TestEveryCallCanHang makes one call into the executor after the other hang
// for ever, before and after it has done its work, under every verb. Each verb
// returns within its bound, and so does the next one on the same plugin and a
// shutdown. Once the calls return the state is what the verbs asked for.
func TestEveryCallCanHang(t *testing.T) {
	for _, verb := range hangVerbs {
		t.Run(verb.name, func(t *testing.T) {
			for _, how := range []fault{hangs, lateDone} {
				for k, reached := 0, true; reached; k++ {
					s := newSimulation()
					config, ids := simulatedWorld(t, s, "p")
					synctest.Test(t, func(t *testing.T) {
						pm := s.manage(t, config)
						defer s.release() // what Shutdown had to leave
						defer checkShutdown(t, pm)
						if verb.enabled {
							assert.NilError(t, pm.Enable("p", nil))
						}
						var calls atomic.Int64
						s.setFault(func(string, string) fault {
							if calls.Add(1)-1 >= int64(k) {
								return how
							}
							return noFault
						}, false)
						var err error
						elapsed := took(func() { err = verb.do(pm) })
						assert.Check(t, elapsed <= verb.bound, "call %d hung: %s took %s", k, verb.name, elapsed)
						reached = calls.Load() > int64(k)
						if err == nil && verb.gone {
							assert.Check(t, !s.lives(ids["p"]), "call %d hung: %s returned nil and the process lives", k, verb.name)
						}
						if err != nil {
							afterHang(t, pm, s, ids["p"], k)
						}
						assert.DeepEqual(t, s.wrongs, []string(nil))
					})
				}
			}
		})
	}
}

// afterHang makes verbs meet what hangs, and then what does not any more.
func afterHang(t *testing.T, pm *plugin.Manager, s *simulation, id string, k int) {
	t.Helper()
	for name, again := range map[string]func() error{
		"enable":  func() error { return pm.Enable("p", nil) },
		"disable": func() error { return pm.Disable("p", nil) },
		"remove":  func() error { return pm.Remove("p", nil) },
	} {
		elapsed := took(func() { _ = again() })
		assert.Check(t, elapsed <= startBound+stopBound, "call %d hangs: another %s took %s", k, name, elapsed)
	}
	s.release()
	time.Sleep(5 * time.Minute)
	p, err := pm.Get("p")
	if err != nil {
		assert.Check(t, !s.lives(id), "call %d: a removed plugin's process lives", k)
		return
	}
	assert.Equal(t, s.lives(id), p.IsEnabled(), "call %d: it does not hang any more", k)
}

func checkShutdown(t *testing.T, pm *plugin.Manager) {
	t.Helper()
	elapsed := took(pm.Shutdown)
	assert.Check(t, elapsed <= shutdownBound, "Shutdown took %s", elapsed)
}

// TestBootWithHungExecutor starts a manager whose executor hangs at every call
// from the k-th on, while processes of an earlier manager live, and ends it.
func TestBootWithHungExecutor(t *testing.T) {
	for k, reached := 0, true; reached; k++ {
		s := newSimulation()
		config, ids := simulatedWorld(t, s, "a", "b")
		config.BootWait = 0 // the default
		synctest.Test(t, func(t *testing.T) {
			crashed := s.manage(t, config)
			for name := range ids {
				assert.NilError(t, crashed.Enable(name, nil))
			}
			var calls atomic.Int64
			s.setFault(func(string, string) fault {
				if calls.Add(1)-1 >= int64(k) {
					return hangs
				}
				return noFault
			}, false)
			var pm *plugin.Manager
			elapsed := took(func() { pm = s.manage(t, config) })
			assert.Check(t, elapsed <= 6*time.Second, "call %d hangs: NewManager took %s", k, elapsed)
			reached = calls.Load() > int64(k)
			elapsed = took(func() { _ = pm.Disable("a", nil) })
			assert.Check(t, elapsed <= stopBound, "call %d hangs: Disable took %s", k, elapsed)
			s.release()
			time.Sleep(5 * time.Minute)
			assert.Check(t, !s.lives(ids["a"]) && s.lives(ids["b"]), "call %d: it does not hang any more", k)
			checkShutdown(t, pm)
			checkShutdown(t, crashed)
			assert.DeepEqual(t, s.wrongs, []string(nil))
		})
	}
}

// TestCallbacksMayShutDown calls Shutdown from every callback.
func TestCallbacksMayShutDown(t *testing.T) {
	for _, callback := range []string{"log", "handler"} {
		s := newSimulation()
		config, _ := simulatedWorld(t, s, "p")
		synctest.Test(t, func(t *testing.T) {
			var pm *plugin.Manager
			done := make(chan struct{})
			shutDown := func() {
				checkShutdown(t, pm)
				close(done)
			}
			if callback == "log" {
				config.LogPluginEvent = func(string, string, events.Action) { shutDown() }
			}
			s.enterBubble()
			config.Store = plugin.NewStore()
			if callback == "handler" {
				config.Store.Handle("volumedriver", func(string, *plugins.Client) { shutDown() })
			}
			var err error
			pm, err = plugin.NewManagerAwaiting(config, s.await)
			assert.NilError(t, err)
			assert.NilError(t, pm.Enable("p", nil))
			<-done
			assert.Equal(t, took(pm.Shutdown), time.Duration(0))
		})
	}
}

// TestCallbacksMayHang makes every callback that a verb calls as it ends hang:
// the verb returns, and so does every other one.
func TestCallbacksMayHang(t *testing.T) {
	for _, callback := range []string{"log", "handler"} {
		s := newSimulation()
		config, _ := simulatedWorld(t, s, "p")
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			hang := func() { <-release }
			if callback == "log" {
				config.LogPluginEvent = func(string, string, events.Action) { hang() }
			}
			s.enterBubble()
			config.Store = plugin.NewStore()
			if callback == "handler" {
				config.Store.Handle("volumedriver", func(string, *plugins.Client) { hang() })
			}
			pm, err := plugin.NewManagerAwaiting(config, s.await)
			assert.NilError(t, err)
			defer close(release)
			defer func() { checkShutdown(t, pm) }()
			const limit = 10*time.Second + time.Second
			for _, verb := range []struct {
				name string
				do   func() error
			}{
				{"enable", func() error { return pm.Enable("p", nil) }},
				{"disable", func() error { return pm.Disable("p", &backend.PluginDisableConfig{ForceDisable: true}) }},
				{"remove", func() error { return pm.Remove("p", &backend.PluginRmConfig{ForceRemove: true}) }},
			} {
				assert.Check(t, took(func() { assert.NilError(t, verb.do()) }) <= limit, "%s: %s hangs", callback, verb.name)
			}
		})
	}
}
