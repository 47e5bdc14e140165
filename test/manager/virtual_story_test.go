// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/pkg/plugins"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
)

// TestCrashLoopsOfThirtySeconds runs ten plugins that crash at every start. Others
// are enabled and disabled without delay. The loops slow down, and none ends.
func TestCrashLoopsOfThirtySeconds(t *testing.T) {
	loops, healthy := numbered("loop", 10), numbered("healthy", 3)
	scripts := func(name string) script {
		if name[0] == 'l' {
			return script{lives: time.Millisecond}
		}
		return script{}
	}
	inVirtualTime(t, append(loops, healthy...), scripts, func(t *testing.T, v *virtual) {
		v.enableAll(t, loops)
		for range 300 {
			delay := took(func() {
				for _, name := range healthy {
					assert.NilError(t, v.Enable(name, nil))
				}
				for _, name := range healthy {
					assert.NilError(t, v.Disable(name, nil))
				}
			})
			assert.Equal(t, delay, time.Duration(0))
			time.Sleep(100 * time.Millisecond)
		}
		for _, name := range loops {
			starts := v.started(v.ids[name])
			assert.Check(t, starts >= 8 && starts <= 11, "%s was started %d times in 30 s", name, starts)
			status, err := v.Status(name)
			assert.NilError(t, err)
			assert.Equal(t, status.State, "backoff")
			assert.Equal(t, status.Restarts, starts-1)
			assert.Check(t, time.Until(*status.NextRetry) <= 30*time.Second)
			p, err := v.Inspect(name)
			assert.NilError(t, err)
			assert.Check(t, p.Enabled, "the desired state changed")
			assert.Equal(t, took(func() { assert.NilError(t, v.Disable(name, nil)) }), time.Duration(0))
		}
	})
}

// TestShutdownTakesOneStopTimeout ends plugins that ignore SIGTERM, and a plugin
// that waits for its restart.
func TestShutdownTakesOneStopTimeout(t *testing.T) {
	deaf := numbered("deaf", 20)
	scripts := func(name string) script {
		if name == "loop" {
			return script{lives: time.Millisecond}
		}
		return script{ignoresTerm: true}
	}
	inVirtualTime(t, append(deaf, "loop"), scripts, func(t *testing.T, v *virtual) {
		v.enableAll(t, append(deaf, "loop"))
		time.Sleep(20 * time.Second)
		assert.Equal(t, took(v.Shutdown), 10*time.Second)
		for _, name := range deaf {
			assert.Check(t, v.run(v.ids[name]) == nil, "%s is left", name)
		}
	})
}

// TestBootIsAsLongAsTheSlowestStart boots 200 plugins that start slowly. One of them
// takes a little longer than the others.
func TestBootIsAsLongAsTheSlowestStart(t *testing.T) {
	names := numbered("p", 200)
	scripts := func(name string) script {
		if name == "p100" {
			return script{ready: 5 * time.Second}
		}
		return script{ready: 4 * time.Second}
	}
	inVirtualTime(t, names, scripts, func(t *testing.T, v *virtual) {
		v.enableAll(t, names)
		v.Shutdown()
		assert.Equal(t, took(func() { v.start(t) }), 5*time.Second)
		for _, name := range names {
			assert.Equal(t, v.started(v.ids[name]), 2)
		}

		v.Shutdown()
		v.config.BootWait = time.Second
		assert.Equal(t, took(func() { v.start(t) }), time.Second)
	})
}

// TestStartTimeoutIsNotThatOfCalls enables a plugin that starts slowly, with a
// short timeout for its calls, and a plugin that is too slow.
func TestStartTimeoutIsNotThatOfCalls(t *testing.T) {
	scripts := map[string]script{"slow": {ready: 14 * time.Second}, "too-slow": {ready: 16 * time.Second}}
	inVirtualTime(t, []string{"slow", "too-slow"}, func(name string) script { return scripts[name] }, func(t *testing.T, v *virtual) {
		oneSecond := &backend.PluginEnableConfig{Timeout: 1}
		assert.Equal(t, took(func() { assert.NilError(t, v.Enable("slow", oneSecond)) }), 14*time.Second)
		p, err := v.Get("slow")
		assert.NilError(t, err)
		assert.Equal(t, p.Timeout(), time.Second)

		err = v.Enable("too-slow", &backend.PluginEnableConfig{Timeout: 60})
		var start *plugin.StartError
		assert.Assert(t, errors.As(err, &start), "%v", err)
		assert.Equal(t, start.Phase, plugin.PhaseReady)
		assert.Equal(t, start.Elapsed, 15*time.Second)
	})
}

// TestVerbsInterruptWaits ends a plugin while a user or the boot is starting it,
// and while it waits for its restart.
func TestVerbsInterruptWaits(t *testing.T) {
	verbs := map[string]func(v *virtual, name string) error{
		"disable": func(v *virtual, name string) error { return v.Disable(name, nil) },
		"forced disable": func(v *virtual, name string) error {
			return v.Disable(name, &backend.PluginDisableConfig{ForceDisable: true})
		},
		"forced remove": func(v *virtual, name string) error { return v.Remove(name, &backend.PluginRmConfig{ForceRemove: true}) },
		"shutdown":      func(v *virtual, _ string) error { v.Shutdown(); return nil },
	}
	for verb, end := range verbs {
		t.Run(verb, func(t *testing.T) {
			scripts := map[string]script{"unready": {ready: never}, "loop": {lives: time.Minute}}
			inVirtualTime(t, []string{"unready", "loop"}, func(name string) script { return scripts[name] }, func(t *testing.T, v *virtual) {
				end := func(name string) {
					t.Helper()
					assert.Equal(t, took(func() { assert.NilError(t, end(v, name)) }), time.Duration(0))
					synctest.Wait()
					assert.Check(t, v.run(v.ids[name]) == nil)
				}
				enabled := make(chan error, 1)
				go func() { enabled <- v.Enable("unready", nil) }()
				time.Sleep(time.Second)
				end("unready")
				assert.Check(t, <-enabled != nil)

				v.Shutdown()
				v.start(t)
				assert.NilError(t, v.Enable("loop", nil))
				time.Sleep(time.Minute + time.Millisecond)
				status, err := v.Status("loop")
				assert.NilError(t, err)
				assert.Equal(t, status.State, "backoff")
				end("loop")
			})
			scripts["late"] = script{}
			inVirtualTime(t, []string{"late"}, func(name string) script { return scripts[name] }, func(t *testing.T, v *virtual) {
				assert.NilError(t, v.Enable("late", nil))
				v.Shutdown()
				v.scripts[v.ids["late"]] = script{ready: never}
				v.config.BootWait = time.Second
				v.start(t)
				status, err := v.Status("late")
				assert.NilError(t, err)
				assert.Equal(t, status.State, "starting")
				assert.Equal(t, took(func() { assert.NilError(t, end(v, "late")) }), time.Duration(0))
			})
		})
	}
}

// TestExitReportsDoNotWait reports exits during a slow Create: early, twice, late,
// and of an unknown plugin.
func TestExitReportsDoNotWait(t *testing.T) {
	inVirtualTime(t, []string{"p"}, func(string) script { return script{create: 5 * time.Second} }, func(t *testing.T, v *virtual) {
		id := v.ids["p"]
		report := func() {
			t.Helper()
			for range 3 {
				assert.Equal(t, took(func() { assert.NilError(t, v.HandleExitEvent(id)) }), time.Duration(0))
			}
		}
		report()
		enabled := make(chan error, 1)
		go func() { enabled <- v.Enable("p", nil) }()
		time.Sleep(time.Second)
		report()
		assert.NilError(t, <-enabled)
		report()
		time.Sleep(time.Minute)
		assert.Equal(t, v.started(id), 1, "a false report had an effect")

		v.end(id, v.run(id))
		time.Sleep(time.Second) // the restart is in progress now
		report()
		time.Sleep(time.Minute)
		assert.Equal(t, v.started(id), 2)
		assert.NilError(t, v.Disable("p", nil))
		report()
		assert.Check(t, is.ErrorType(v.HandleExitEvent("nobody"), &plugin.NotFoundError{}))
		time.Sleep(time.Minute)
		assert.Equal(t, v.started(id), 2)
	})
}

// TestBootHasAnOrder boots plugins that take a second each: authorization plugins
// first, then network plugins, then the rest.
func TestBootHasAnOrder(t *testing.T) {
	interfaces := map[string]string{
		"authz": "docker.authz/1.0", "network": "docker.networkdriver/1.0", "ipam": "docker.ipamdriver/1.0", "volume": "docker.volumedriver/1.0",
	}
	names := []string{"volume", "ipam", "network", "authz"}
	scripts := func(name string) script {
		return script{ready: time.Second, interfaces: []string{interfaces[name]}}
	}
	inVirtualTime(t, names, scripts, func(t *testing.T, v *virtual) {
		v.enableAll(t, names)
		v.Shutdown()
		began := time.Now()
		v.start(t)
		for name, want := range map[string]time.Duration{"authz": 0, "network": time.Second, "ipam": time.Second, "volume": 2 * time.Second} {
			assert.Equal(t, v.run(v.ids[name]).began.Sub(began), want, name)
		}
	})
}

// TestHandlersRunOncePerStart counts the calls of a handler for a plugin that
// crashes every second minute.
func TestHandlersRunOncePerStart(t *testing.T) {
	scripts := func(string) script {
		return script{lives: 2 * time.Minute, interfaces: []string{"docker.volumedriver/1.0"}}
	}
	inVirtualTime(t, []string{"p"}, scripts, func(t *testing.T, v *virtual) {
		heard := 0
		v.config.Store.Handle("volumedriver", func(string, *plugins.Client) { heard++ })
		assert.NilError(t, v.Enable("p", nil))
		for want := 1; want <= 5; want++ {
			synctest.Wait()
			assert.Equal(t, heard, want)
			assert.Equal(t, v.started(v.ids["p"]), want)
			time.Sleep(2*time.Minute + time.Second)
		}
		assert.NilError(t, v.Disable("p", nil))
		synctest.Wait()
		assert.Equal(t, heard, 6)
	})
}
