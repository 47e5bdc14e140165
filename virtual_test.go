//go:build linux

package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/backend"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// script is how the runs of a plugin go, in virtual time. The zero value is
// ready at once and lives until it is asked to end.
type script struct {
	ready       time.Duration
	lives       time.Duration // zero: until stopped
	ignoresTerm bool
}

// scripted is an executor whose runs follow scripts and need no kernel.
type scripted struct {
	scripts map[string]script
	exits   func(id string) error

	mu     sync.Mutex
	runs   map[string]*scriptedRun
	starts map[string]int
}

type scriptedRun struct {
	script
	began   time.Time
	streams [2]io.Closer
}

func (e *scripted) Create(id string, _ specs.Spec, stdout, stderr io.WriteCloser) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &scriptedRun{script: e.scripts[id], began: time.Now(), streams: [2]io.Closer{stdout, stderr}}
	e.runs[id] = r
	e.starts[id]++
	if r.lives > 0 {
		time.AfterFunc(r.lives, func() { e.end(id, r) })
	}
	return nil
}

func (e *scripted) end(id string, r *scriptedRun) {
	e.mu.Lock()
	current := e.runs[id] == r
	if current {
		delete(e.runs, id)
	}
	e.mu.Unlock()
	if !current {
		return
	}
	for _, stream := range r.streams {
		_ = stream.Close()
	}
	_ = e.exits(id)
}

func (e *scripted) run(id string) *scriptedRun {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

func (e *scripted) started(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts[id]
}

func (e *scripted) IsRunning(id string) (bool, error) { return e.run(id) != nil, nil }

func (e *scripted) Restore(_ string, stdout, stderr io.WriteCloser) (bool, error) {
	return false, errors.Join(stdout.Close(), stderr.Close())
}

func (e *scripted) Signal(id string, signal syscall.Signal) error {
	r := e.run(id)
	if r == nil {
		return cerrdefs.ErrNotFound
	}
	if signal == syscall.SIGKILL || !r.ignoresTerm {
		e.end(id, r)
	}
	return nil
}

// await stands for a look at the socket.
func (e *scripted) await(ctx context.Context, dir, _ string) error {
	r := e.run(filepath.Base(dir))
	if r == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	timer := time.NewTimer(r.ready - time.Since(r.began))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// inVirtualTime runs test on a manager, not started yet, of plugins with the
// names and scripts. They are installed in real time.
func inVirtualTime(t *testing.T, names []string, scripts func(name string) script, test func(t *testing.T, v *virtual)) {
	t.Helper()
	w := newWorld(t).start()
	e := &scripted{scripts: map[string]script{}, runs: map[string]*scriptedRun{}, starts: map[string]int{}}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = w.create(name)
		e.scripts[ids[name]] = scripts(name)
	}
	w.Shutdown()
	config := w.config
	config.Store, config.Backoff = plugin.NewStore(), 0
	config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		e.exits = pm.HandleExitEvent
		return e, nil
	}
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{scripted: e, config: config, ids: ids}
		v.start(t)
		defer func() { v.Shutdown() }()
		test(t, v)
	})
}

// virtual is a manager in virtual time.
type virtual struct {
	*scripted
	*plugin.Manager
	config plugin.ManagerConfig
	ids    map[string]string
}

func (v *virtual) start(t *testing.T) {
	t.Helper()
	pm, err := plugin.NewManagerAwaiting(v.config, v.await)
	assert.NilError(t, err)
	v.Manager = pm
}

// enableAll enables the plugins at the same time.
func (v *virtual) enableAll(t *testing.T, names []string) {
	t.Helper()
	var enabling sync.WaitGroup
	for _, name := range names {
		enabling.Go(func() { assert.Check(t, v.Enable(name, nil)) })
	}
	enabling.Wait()
}

// took returns how much time a call takes.
func took(call func()) time.Duration {
	began := time.Now()
	call()
	return time.Since(began)
}

func numbered(name string, count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprint(name, i)
	}
	return names
}

// TestCrashLoopsOfThirtySeconds has ten plugins that crash whenever they run,
// while others are enabled and disabled without any delay. The loops slow down,
// and none is given up.
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
			assert.Check(t, p.Enabled, "the wish was flipped")
			assert.Equal(t, took(func() { assert.NilError(t, v.Disable(name, nil)) }), time.Duration(0))
		}
	})
}

// TestShutdownTakesOneStopTimeout ends plugins that ignore SIGTERM, and one
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

// TestBootIsAsLongAsTheSlowestStart boots 200 plugins, of which each takes a
// while and one a little longer.
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

// TestStartTimeoutIsNotThatOfCalls enables a plugin that is slow to start with
// a short timeout for its calls, and one that is too slow.
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
