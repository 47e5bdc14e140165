// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// reentrant reports an exit from within each of its methods, while it holds a lock
// that every method takes. It does so once per method and verb, because an
// executor that reports at every call would keep its manager busy.
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
		_ = e.exits(id) // fails for a plugin that is being removed
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

// TestExitsAreReportedFromWithinTheExecutor runs every verb that calls the
// executor.
func TestExitsAreReportedFromWithinTheExecutor(t *testing.T) {
	w := newWorld(t)
	w.Executor.Reports = plugintest.ReportInSignal
	executor := &reentrant{Executor: w.Executor}
	executor.again()
	w.Config.LiveRestoreEnabled = true
	w.Config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		executor.exits = pm.HandleExitEvent
		w.Executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
		return executor, nil
	}
	w.start()
	id := w.Create("p")
	restarted, cancel := w.SubscribeEvents(10, plugin.EventRestarted{})
	defer cancel()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"enable", func() error { return w.Enable(id, nil) }},
		{"status", func() error { _, err := w.Status(id); return err }},
		{"exit", func() error { err := w.Executor.Exit(id, 1); <-restarted; return err }},
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

// holdLogs makes a reader of a plugin's log hang, as a hanging disk does. The
// reader blocks whatever closes the log.
func (w *world) holdLogs(id string) (release func()) {
	w.T.Helper()
	output := filepath.Join(w.Config.Root, id, "output.log")
	for _, name := range []string{output, output + ".old"} {
		_ = os.Remove(name)
		assert.NilError(w.T, unix.Mkfifo(name, 0o600))
	}
	held, err := unix.Open(output, unix.O_PATH|unix.O_CLOEXEC, 0)
	assert.NilError(w.T, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		w.MustLogs(id, plugin.LogOptions{})
	}()
	// The reader opens the older FIFO first. Opening a FIFO waits for its writer.
	older, err := os.OpenFile(output+".old", os.O_WRONLY, 0)
	assert.NilError(w.T, err)
	return func() {
		// O_RDWR does not wait: the reader may have found no file, after the removal.
		newer, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", held), os.O_RDWR, 0)
		assert.NilError(w.T, err)
		assert.NilError(w.T, errors.Join(older.Close(), newer.Close(), unix.Close(held)))
		<-read
	}
}

// TestExitsDoNotWaitForTheDisk reports exits while a removal waits for the plugin's
// log.
func TestExitsDoNotWaitForTheDisk(t *testing.T) {
	w := newWorld(t).start()
	id, other := w.Create("p"), w.Create("other")
	release := w.holdLogs(id)
	removed := make(chan error, 1)
	go func() { removed <- w.Remove(id, nil) }()
	reported := make(chan error, 1)
	go func() {
		for w.HandleExitEvent(id) == nil {
			// The plugin is found until its removal reaches the logbook.
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
