//go:build linux

package plugin_test

import (
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// reentrant reports an exit from within each of its methods, with a lock of
// its own held, which every method takes. It does so once a method and verb:
// an executor that reports whenever it is asked keeps its manager busy.
type reentrant struct {
	*plugintest.Executor
	exits func(id string) error

	mu       sync.Mutex
	reported map[string]bool
}

func (e *reentrant) report(method, id string) (unlock func()) {
	e.mu.Lock()
	if !e.reported[method] {
		e.reported[method] = true
		_ = e.exits(id) // a plugin that is being removed is not known
	}
	return e.mu.Unlock
}

func (e *reentrant) again() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reported = map[string]bool{}
}

func (e *reentrant) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	defer e.report("Create", id)()
	return e.Executor.Create(id, spec, stdout, stderr)
}

func (e *reentrant) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	defer e.report("Restore", id)()
	return e.Executor.Restore(id, stdout, stderr)
}

func (e *reentrant) IsRunning(id string) (bool, error) {
	defer e.report("IsRunning", id)()
	return e.Executor.IsRunning(id)
}

func (e *reentrant) Signal(id string, signal syscall.Signal) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Executor.Signal(id, signal)
}

func (e *reentrant) LastExit(id string) (int, bool, bool) {
	defer e.report("LastExit", id)()
	return e.Executor.LastExit(id)
}

func (e *reentrant) Pid(id string) (int, bool) {
	defer e.report("Pid", id)()
	return e.Executor.Pid(id)
}

// TestExitsAreReportedFromWithinTheExecutor runs every verb that asks the
// executor.
func TestExitsAreReportedFromWithinTheExecutor(t *testing.T) {
	w := newWorld(t)
	w.executor.Reports = plugintest.ReportInSignal
	executor := &reentrant{Executor: w.executor}
	executor.again()
	w.config.LiveRestoreEnabled = true
	w.config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		executor.exits = pm.HandleExitEvent
		w.executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
		return executor, nil
	}
	w.start()
	id := w.create("p")
	restarted, cancel := w.SubscribeEvents(10, plugin.EventRestarted{})
	defer cancel()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"enable", func() error { return w.Enable(id, nil) }},
		{"status", func() error { _, err := w.Status(id); return err }},
		{"exit", func() error { err := w.executor.Exit(id, 1); <-restarted; return err }},
		{"restart", func() error { w.restart(); return nil }},
		{"disable", func() error { return w.Disable(id, nil) }},
		{"enable again", func() error { return w.Enable(id, nil) }},
		{"remove", func() error { return w.Remove(id, forced) }},
	} {
		executor.again()
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		select {
		case err := <-done:
			assert.NilError(t, err, step.name)
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: a lock is held while the executor is asked", step.name)
		}
	}
}

// TestExitsDoNotWaitForTheDisk reports exits while a removal waits for the
// file of the plugin's output.
func TestExitsDoNotWaitForTheDisk(t *testing.T) {
	w := newWorld(t).start()
	id, other := w.create("p"), w.create("other")
	release := w.HoldLogbook(id)
	removed := make(chan error, 1)
	go func() { removed <- w.Remove(id, nil) }()
	reported := make(chan error, 1)
	go func() {
		for w.HandleExitEvent(id) == nil {
			// The plugin is there until its removal gets to the logbook.
		}
		reported <- w.HandleExitEvent(other)
	}()
	select {
	case err := <-reported:
		assert.NilError(t, err)
	case <-time.After(30 * time.Second):
		t.Error("an exit waits for the disk")
	}
	release()
	assert.NilError(t, <-removed)
}
