// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// TestShutdownStopsAllAtOnce runs plugins that end only after all of them have been
// signalled. Stopped one after the other they would never end.
func TestShutdownStopsAllAtOnce(t *testing.T) {
	w := newWorld(t)
	const plugins = 20
	var asked sync.WaitGroup
	asked.Add(plugins)
	all := make(chan struct{})
	go func() {
		asked.Wait()
		close(all)
	}()
	w.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
		return plugintest.Behaviour{Program: serveUntil(func(run *plugintest.Run) {
			<-run.Signals()
			asked.Done()
			select {
			case <-all:
			case <-run.Killed():
				t.Error("a plugin was killed while it waited for the others")
			}
		})}
	}
	w.start()
	for i := range plugins {
		w.MustEnable(w.Create(fmt.Sprint("p", i)))
	}
	w.Shutdown()
}

// serveUntil returns a program that listens until end returns.
func serveUntil(end func(run *plugintest.Run)) plugintest.Program {
	return func(run *plugintest.Run) int {
		listener, err := listen(run)
		if err != nil {
			return 1
		}
		defer listener.Close()
		end(run)
		return 0
	}
}

// TestCrashLoopsDelayNoOthers enables and disables healthy plugins while others
// crash at every start.
func TestCrashLoopsDelayNoOthers(t *testing.T) {
	w := newWorld(t)
	crash := map[string]bool{}
	w.Executor.Choose = func(id string, earlier int, _ specs.Spec) plugintest.Behaviour {
		if crash[id] && earlier > 0 {
			return plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 1}}
		}
		return plugintest.Behaviour{}
	}
	w.start()
	var loops []string
	for i := range 10 {
		loops = append(loops, w.Create(fmt.Sprint("loop", i)))
		crash[loops[i]] = true
	}
	healthy := w.Create("healthy")
	for _, id := range loops {
		w.MustEnable(id)
		assert.NilError(t, w.Executor.Exit(id, 1))
	}
	events, cancel := w.SubscribeEvents(1000, plugin.EventStartFailed{})
	defer cancel()
	failures := 0
	for failures < 30 {
		w.MustEnable(healthy)
		assert.NilError(t, w.Disable(healthy, nil))
		for len(events) > 0 {
			<-events
			failures++
		}
	}
	for _, id := range loops {
		assert.Check(t, w.Enabled(id), "the desired state changed")
		assert.NilError(t, w.Disable(id, &backend.PluginDisableConfig{}))
	}
}

// TestCallbacksMayCallVerbs calls verbs from a callback, on the plugin of the
// callback.
func TestCallbacksMayCallVerbs(t *testing.T) {
	w := newWorld(t)
	failed := make(chan error, 100)
	note := func(err error) {
		if err != nil {
			failed <- err
		}
	}
	w.Config.LogPluginEvent = func(id, name string, action events.Action) {
		switch action {
		case events.ActionCreate:
			note(w.Set(name, nil))
		case events.ActionEnable:
			note(w.Disable(id, nil))
		case events.ActionDisable:
			note(w.Remove(id, nil))
		}
	}
	w.start()
	id := w.Create("logged")
	w.MustEnable(id)
	_, err := w.Get(id)
	assert.Check(t, err != nil, "the callbacks did not remove it")

	w.Config.LogPluginEvent = nil
	w.restart()
	id = w.Create("handled", "docker.volumedriver/1.0")
	starts := 0
	done := make(chan struct{})
	w.Config.Store.Handle("volumedriver", func(name string, _ *plugins.Client) {
		starts++
		if starts == 2 {
			note(w.Disable(name, nil))
			close(done)
		}
	})
	w.MustEnable(id)
	assert.NilError(t, w.Executor.Exit(id, 1))
	<-done
	assert.Check(t, !w.Enabled(id))
	assert.Equal(t, len(failed), 0)
}
