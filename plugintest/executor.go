// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/internal/class"
)

// Executor is a fake executor of plugins for tests. Its runs are goroutines of this
// process; a start takes well under a millisecond. The zero value is ready to use:
// pass it to a manager with [Executor.Creator]. Set the exported fields before the
// first use. All methods are safe for concurrent use.
//
// Runs outlive the manager that started them, like those of real executors. After
// [Executor.Close] the executor can serve a second manager, which finds the runs
// with Restore. At its end a test calls [Executor.KillAll].
type Executor struct {
	// Behaviour is the behaviour of every run, unless Choose is set.
	Behaviour
	// Choose, if set, returns the behaviour of each run; attempt counts the
	// calls of Create for id from 0. It is called without locks, possibly
	// concurrently for different IDs.
	Choose func(id string, attempt int, spec specs.Spec) Behaviour

	mu      sync.Mutex
	exits   func(id string)
	plugins map[string]*history
}

// history has the runs of an ID.
type history struct {
	attempts int
	specs    []specs.Spec
	// newest is the last started run, alive or not.
	newest *Run
	// attached is set if the current manager has created or restored newest.
	attached bool
	ending   *Ending
}

// HandleExits makes the executor call exits with the ID of every run that ends from
// now on. Nil means no calls.
func (e *Executor) HandleExits(exits func(id string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exits = exits
}

// Create starts a run of id. It takes ownership of both streams, and closes them
// when the run ends, or at once if Create fails. It replaces a living run that was
// left by Close. An attached living run of id is an error of class Conflict.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) (err error) {
	defer func() {
		if err != nil {
			stdout.Close()
			stderr.Close()
		}
	}()
	behaviour := e.choose(id, spec)
	if behaviour.CreateError != nil {
		return behaviour.CreateError
	}
	if err := e.replace(id); err != nil {
		return err
	}
	r := newRun(id, spec, behaviour, stdout, stderr)
	main, err := r.prepare()
	if err != nil {
		return fmt.Errorf("start plugin %s: %w", id, err)
	}
	e.mu.Lock()
	h := e.historyLocked(id)
	h.specs = append(h.specs, spec)
	h.newest, h.attached = r, true
	e.mu.Unlock()
	go e.run(r, main)
	return nil
}

// replace ends a run of id that is not attached.
func (e *Executor) replace(id string) error {
	e.mu.Lock()
	h := e.historyLocked(id)
	left, attached := h.newest, h.attached
	e.mu.Unlock()
	if left == nil || left.hasEnded() {
		return nil
	}
	if attached {
		return class.Conflict(fmt.Errorf("start plugin %s: already running", id))
	}
	left.mute()
	left.kill(Ending{Code: killedCode(syscall.SIGKILL)})
	<-left.done
	return nil
}

// IsRunning reports whether the newest run of id is alive. It returns true if the
// behaviour of the run has AlwaysRunning.
func (e *Executor) IsRunning(id string) (bool, error) {
	if e.AlwaysRunning {
		return true, nil
	}
	r, _ := e.newest(id)
	return r != nil && (r.behaviour.AlwaysRunning || !r.hasEnded()), nil
}

// Restore attaches the streams to the newest run of id if it is alive, and closes
// them otherwise. The streams first get the buffered output. A living run that is
// already attached is an error of class Conflict.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error) {
	r, err := e.adopt(id)
	if r == nil {
		stdout.Close()
		stderr.Close()
		return false, err
	}
	return r.attach(stdout, stderr), nil
}

// adopt returns the newest run of id, and marks it as attached if it is alive.
func (e *Executor) adopt(id string) (*Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.historyLocked(id)
	if h.newest == nil || h.newest.hasEnded() {
		return h.newest, nil
	}
	if h.attached {
		return nil, class.Conflict(fmt.Errorf("restore plugin %s: already running", id))
	}
	h.attached = true
	return h.newest, nil
}

// Runs returns the IDs of all living runs, attached or not.
func (e *Executor) Runs() ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for id, h := range e.plugins {
		if h.newest != nil && !h.newest.hasEnded() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Signal sends signal to the newest run of id. SIGKILL ends the run. The program
// handles SIGTERM; the default program ignores all other signals. The error is of
// class NotFound if id has no living run.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	r, _ := e.newest(id)
	if r == nil || !r.signal(signal) {
		return class.NotFound(fmt.Errorf("signal plugin %s: not running", id))
	}
	if r.endsWithin(signal) {
		<-r.done
		e.Report(id)
	}
	return nil
}

// Close detaches all runs, like the end of a daemon. It closes their streams. The
// runs continue, but their ends are not reported until Restore attaches them again.
// The executor can be used again at once.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.exits = nil
	var runs []*Run
	for _, h := range e.plugins {
		if h.newest != nil {
			runs = append(runs, h.newest)
		}
		h.attached = false
	}
	e.mu.Unlock()
	for _, r := range runs {
		r.detach()
	}
	return nil
}

// KillAll ends every run and waits for the ends. It reports them like ends by
// SIGKILL.
func (e *Executor) KillAll() {
	e.mu.Lock()
	var runs []*Run
	for _, h := range e.plugins {
		if h.newest != nil {
			runs = append(runs, h.newest)
		}
	}
	e.mu.Unlock()
	for _, r := range runs {
		r.kill(Ending{Code: killedCode(syscall.SIGKILL)})
		<-r.done
	}
}

func (e *Executor) historyLocked(id string) *history {
	if e.plugins == nil {
		e.plugins = make(map[string]*history)
	}
	h := e.plugins[id]
	if h == nil {
		h = &history{}
		e.plugins[id] = h
	}
	return h
}

func (e *Executor) newest(id string) (r *Run, ending *Ending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.plugins[id]
	if h == nil {
		return nil, nil
	}
	return h.newest, h.ending
}

func killedCode(signal syscall.Signal) int {
	return 128 + int(signal)
}
