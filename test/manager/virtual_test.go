// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

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

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testworld"
)

// script describes the runs of a plugin in virtual time. With the zero value a run
// is ready at once, and lives until it gets a signal.
type script struct {
	create      time.Duration // until the process is created
	ready       time.Duration
	lives       time.Duration // zero: until stopped
	ignoresTerm bool
	interfaces  []string
}

// never is longer than any test.
const never = 1000 * time.Hour

// scripted is an executor with runs that follow scripts and need no kernel.
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
	time.Sleep(e.scripts[id].create)
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
		return errdefs.ErrNotFound
	}
	if signal == syscall.SIGKILL || !r.ignoresTerm {
		e.end(id, r)
	}
	return nil
}

// await takes the place of watching the socket.
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

// inVirtualTime runs test in virtual time, with a manager that the test starts. The
// plugins have the given names and scripts, and are installed in real time.
func inVirtualTime(t *testing.T, names []string, scripts func(name string) script, test func(t *testing.T, v *virtual)) {
	t.Helper()
	w := newWorld(t).start()
	e := &scripted{scripts: map[string]script{}, runs: map[string]*scriptedRun{}, starts: map[string]int{}}
	ids := map[string]string{}
	for _, name := range names {
		plan := scripts(name)
		ids[name] = w.Create(name, plan.interfaces...)
		e.scripts[ids[name]] = plan
	}
	w.Shutdown()
	config := w.Config
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
	pm, err := testworld.NewManagerAwaiting(v.config, v.await)
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

// took returns how long a call takes.
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
