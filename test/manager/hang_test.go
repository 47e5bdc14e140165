// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/log"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/plugins"
	"github.com/sirupsen/logrus"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testworld"
)

// Bounds of verbs with the default timeouts: 15 s for a start, 10 s between
// SIGTERM and SIGKILL, 10 s after it, and some seconds of lateness.
const (
	startBound    = 30 * time.Second
	stopBound     = 25 * time.Second
	shutdownBound = 35 * time.Second
	// shutdownDeadline is the documented bound, whatever hangs.
	shutdownDeadline = 10*time.Second + 30*time.Second
)

// hangVerbs are the verbs that call an executor.
var hangVerbs = []struct {
	name    string
	enabled bool // the plugin, before the verb
	do      func(pm *plugin.Manager) error
	bound   time.Duration
	gone    bool // no process is left after success
}{
	{"enable", false, func(pm *plugin.Manager) error { return pm.Enable("p", nil) }, startBound, false},
	{"disable", true, func(pm *plugin.Manager) error { return pm.Disable("p", nil) }, stopBound, true},
	{"disable by force", true, func(pm *plugin.Manager) error {
		return pm.Disable("p", &backend.PluginDisableConfig{ForceDisable: true})
	}, stopBound, true},
	{"remove by force", true, func(pm *plugin.Manager) error { return pm.Remove("p", forced) }, stopBound, true},
	{"status", true, func(pm *plugin.Manager) error { _, err := pm.Status("p"); return err }, 2 * time.Second, false},
	{"shutdown", true, func(pm *plugin.Manager) error { pm.Shutdown(); return nil }, shutdownBound, false}, // it logs the processes that it left
}

// TestEveryCallCanHang makes each call of the executor in turn hang for ever,
// before and after it has done its work, for every verb. The verb returns within
// its bound, and so do the next verb on the same plugin and a shutdown. Once the
// calls return, the state is as the verbs requested.
func TestEveryCallCanHang(t *testing.T) {
	for _, verb := range hangVerbs {
		t.Run(verb.name, func(t *testing.T) {
			for _, how := range []fault{hangs, lateDone} {
				for k, reached := 0, true; reached; k++ {
					s := newSimulation()
					config, ids := simulatedWorld(t, s, "p")
					synctest.Test(t, func(t *testing.T) {
						pm := s.manage(t, config)
						defer s.release() // the calls that Shutdown left behind
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

// afterHang runs verbs while the call still hangs, and after it has returned.
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

// TestBootWithHungExecutor starts and ends a manager while processes of an earlier
// manager live. Its executor hangs from the k-th call on.
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
			pm, err = testworld.NewManagerAwaiting(config, s.await)
			assert.NilError(t, err)
			assert.NilError(t, pm.Enable("p", nil))
			<-done
			assert.Equal(t, took(pm.Shutdown), time.Duration(0))
		})
	}
}

// TestCallbacksMayHang makes each callback hang that verbs call at their end. The
// verb returns, and so do all other verbs.
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
			pm, err := testworld.NewManagerAwaiting(config, s.await)
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

// TestShutdownHasOneDeadline makes everything that Shutdown calls hang, and the log
// of that as well.
func TestShutdownHasOneDeadline(t *testing.T) {
	for _, logHangs := range []bool{true, false} {
		s := newSimulation()
		config, _ := simulatedWorld(t, s, "p", "q")
		synctest.Test(t, func(t *testing.T) {
			s.enterBubble()
			never := make(chan struct{})
			defer close(never)
			config.Store = plugin.NewStore()
			config.Store.Handle("volumedriver", func(string, *plugins.Client) { <-never })
			create := config.CreateExecutor
			config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
				executor, err := create(pm)
				return stuckExecutor{executor.(*attendant), never}, err
			}
			pm, err := testworld.NewManagerOver(config, &durable.FS{}, stuckSockets{s, never})
			assert.NilError(t, err)
			for _, name := range []string{"p", "q"} {
				assert.NilError(t, pm.Enable(name, nil))
			}
			defer s.release()
			s.setFault(func(string, string) fault { return hangs }, false)
			lines := collectLog(t, logrus.ErrorLevel)
			if logHangs {
				log.L.Logger.AddHook(blockedLog{never})
			}
			elapsed := took(pm.Shutdown)
			assert.Check(t, elapsed <= shutdownDeadline, "Shutdown took %s", elapsed)
			assert.Check(t, elapsed > shutdownDeadline-10*time.Second, "not everything hung: Shutdown took %s", elapsed)
			if logHangs {
				return
			}
			last := lines.all()[len(lines.all())-1]
			for _, stage := range []string{"close executor", "end supervisors", "end background work", "close watch of sockets"} {
				assert.Check(t, is.Contains(last, stage+": "))
			}
		})
	}
}

// stuckExecutor is an executor that hangs in Close.
type stuckExecutor struct {
	*attendant
	never chan struct{}
}

func (e stuckExecutor) Close() error { <-e.never; return nil }

// stuckSockets is a watch of sockets whose Close hangs.
type stuckSockets struct {
	*simulation
	never chan struct{}
}

func (s stuckSockets) Await(ctx context.Context, dir, name string) error {
	return s.await(ctx, dir, name)
}

func (s stuckSockets) Close() error { <-s.never; return nil }

// blockedLog is a log with a reader that does not read.
type blockedLog struct{ never chan struct{} }

func (blockedLog) Levels() []logrus.Level { return logrus.AllLevels }

func (l blockedLog) Fire(*logrus.Entry) error { <-l.never; return nil }

// TestAHungStartIsNamed makes a start hang in a call of each phase. The error of
// Enable names the phase and the call.
func TestAHungStartIsNamed(t *testing.T) {
	for _, tc := range []struct {
		hangs string // a step of the files, or a call of the executor
		phase plugin.StartPhase
		want  string
	}{
		{"mkdir", plugin.PhasePrepare, "the making of directory %s did not return in time"},
		{"create", plugin.PhaseCreate, "the executor's Create did not return in time"},
	} {
		t.Run(tc.hangs, func(t *testing.T) {
			s := newSimulation()
			config, _ := simulatedWorld(t, s, "p")
			config.StartTimeout = time.Second
			synctest.Test(t, func(t *testing.T) {
				s.enterBubble()
				never := make(chan struct{})
				files := &durable.FS{Fault: func(step durable.Step) error {
					if step.Op == tc.hangs && step.Path == config.ExecRoot {
						<-never
					}
					return nil
				}}
				config.Store = plugin.NewStore()
				pm, err := testworld.NewManagerOver(config, files, stuckSockets{s, never})
				assert.NilError(t, err)
				assert.NilError(t, os.RemoveAll(config.ExecRoot))
				s.setFault(func(call, _ string) fault {
					if call == tc.hangs {
						return hangs
					}
					return noFault
				}, false)
				err = pm.Enable("p", nil)
				var start *plugin.StartError
				assert.Assert(t, errors.As(err, &start), "%v", err)
				assert.Check(t, is.Equal(start.Phase, tc.phase))
				assert.Check(t, is.ErrorContains(err, strings.ReplaceAll(tc.want, "%s", config.ExecRoot)))
				close(never)
				s.release()
				pm.Shutdown()
			})
		})
	}
}
