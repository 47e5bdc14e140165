// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/executor/internal/hold"
	"github.com/dovetailhq/plugin/internal/class"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Executor runs plugins with an OCI runtime. Make one with [New]. Its methods
// may be called concurrently, except that Create and Restore of the same ID must
// not overlap.
type Executor struct {
	settings
	root   string
	exits  ExitHandler
	starts *pidWatcher

	hold  *hold.Hold
	calls *attend.Calls
	// shut ends the executor, once.
	shut func() error

	mu    sync.Mutex
	runs  map[string]*run
	ended map[string]ending
	// left are the runs that lived when New was called.
	left map[string]record
	// silent is true when ends are no longer reported.
	silent bool
	// watched are the runs with a running goroutine, including runs that are
	// reporting their end.
	watched map[*run]struct{}
}

// New returns an executor that keeps its state below root, a directory that
// is made if absent. It reports the end of every run to exits.
//
// One executor at a time uses root. If another process uses root, or a deleted
// directory of that path with living runs, the error is a [LockedError]. An older
// executor of this process is closed, as if its daemon had ended.
//
// New removes leftovers of dead runs; living runs wait for Restore. It fails if
// the runtime is not installed or the directory can't be used. It blocks while
// leftovers are removed, for ten seconds at most: Create or Restore of their ID
// removes the rest.
func New(root string, exits ExitHandler, opts ...Option) (*Executor, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	e := &Executor{
		settings: defaults(),
		root:     root,
		exits:    exits,
		calls:    attend.New(context.Background()),
		runs:     make(map[string]*run),
		ended:    make(map[string]ending),
		watched:  make(map[*run]struct{}),
	}
	for _, opt := range opts {
		opt(&e.settings)
	}
	if _, err := exec.LookPath(e.runtime); err != nil {
		return nil, class.Unavailable(fmt.Errorf("find OCI runtime: %w", err))
	}
	e.shut = sync.OnceValue(e.close)
	if e.hold, err = hold.Take(root, e); err != nil {
		return nil, e.refused(err)
	}
	e.starts = newPidWatcher()
	if err := errors.Join(e.makeDirectories(), e.findLeft()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.sweep()
	return e, nil
}

// refused makes a [LockedError] of the error of a lock that another process holds.
func (e *Executor) refused(err error) error {
	if errors.Is(err, dirlock.ErrLocked) {
		return &LockedError{Directory: e.root}
	}
	return err
}

// makeDirectories makes the directories below root that are absent.
func (e *Executor) makeDirectories() error {
	for _, directory := range []string{e.runtimeRoot(), e.bundles()} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (e *Executor) runtimeRoot() string { return filepath.Join(e.root, "runtime") }
func (e *Executor) bundles() string     { return filepath.Join(e.root, "bundles") }

func (e *Executor) bundle(id string) bundle { return bundle(filepath.Join(e.bundles(), id)) }

// IsRunning reports whether the main process of plugin id lives, including a
// process that an earlier executor over the same directory left and that was not
// restored yet. It returns true until LastExit returns the end of the run and its
// output was delivered. An error means that the answer is not known, for example
// because no file can be opened. After Close it returns whether the process lives.
// It does not block.
func (e *Executor) IsRunning(id string) (bool, error) {
	if !validID(id) || e.run(id) != nil && e.calls.Check() == nil {
		return e.run(id) != nil, nil
	}
	p, err := e.findInit(id)
	if errors.Is(err, errGone) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find plugin %s: %w", id, err)
	}
	p.close()
	return true, nil
}

// Signal sends signal to the main process of plugin id. The error is of class
// NotFound if the process does not run, and Unavailable after Close, or once a
// newer executor of this process has taken the directory over. It does not block.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	err := e.signal(id, signal)
	if errors.Is(err, errGone) && e.calls.Check() != nil { // Close closes the handles of living processes
		err = class.Unavailable(attend.ErrClosed)
	}
	if errors.Is(err, errGone) {
		return class.NotFound(fmt.Errorf("signal plugin %s: not running", id))
	}
	if err != nil {
		return fmt.Errorf("signal plugin %s: %w", id, err)
	}
	return nil
}

func (e *Executor) signal(id string, signal syscall.Signal) error {
	if err := e.calls.Check(); err != nil {
		return class.Unavailable(err)
	}
	if !e.hold.HeldBy(e) {
		return class.Unavailable(errTakenOver)
	}
	if r := e.run(id); r != nil {
		return r.signal(signal)
	}
	if !validID(id) {
		return errGone
	}
	p, err := e.findInit(id)
	if err != nil {
		return err
	}
	defer p.close()
	return p.signal(signal)
}

// LastExit returns how the newest ended run of plugin id ended: its exit code,
// 128+n if it ended by signal n, and whether the OOM killer ended it, as far as
// that could be detected. ok is false if no run has ended since New, or if the
// code is not known.
func (e *Executor) LastExit(id string) (code int, oomKilled bool, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end := e.ended[id]
	return end.code, end.oomKilled, end.known
}

// Pid returns the main process of plugin id in this process's pid namespace.
// ok is false if it is not running, or was not restored yet.
func (e *Executor) Pid(id string) (pid int, ok bool) {
	r := e.run(id)
	if r == nil || r.init == nil {
		return 0, false
	}
	return r.init.PID, true
}

// Close stops watching all runs, without ending any. Their output is kept for the
// executor that restores them, their streams are closed, and no end is reported
// after Close has returned. Calls of Create and Restore in progress fail, and
// later calls fail at once. For each living run that this executor started, the
// goroutines remain that reap its runtime.
//
// Close waits five seconds at most, for example for an exit handler that does
// not return; the error then names the plugins that it gave up on. Close may be
// called more than once, and returns the same each time.
func (e *Executor) Close() error { return e.shut() }

func (e *Executor) close() error {
	limit, cancel := context.WithTimeout(context.Background(), e.limits.close)
	defer cancel()
	var problems []error
	for _, id := range e.calls.Close(limit) {
		problems = append(problems, class.Unavailable(fmt.Errorf("close executor: start of plugin %s has not returned", id)))
	}
	problems = append(problems, e.awaitRuns(limit))
	e.mu.Lock()
	e.silent = true
	e.mu.Unlock()
	e.starts.close()
	e.hold.Release(e)
	return errors.Join(problems...)
}

// awaitRuns stops watching all runs, and waits for their goroutines.
func (e *Executor) awaitRuns(limit context.Context) error {
	e.mu.Lock()
	runs := slices.Collect(maps.Keys(e.watched))
	e.mu.Unlock()
	for _, r := range runs {
		r.letGo()
	}
	var problems []error
	for _, r := range runs {
		select {
		case <-r.watched:
		case <-limit.Done():
			problems = append(problems, class.Unavailable(fmt.Errorf("close executor: the end of plugin %s is still being handled", r.id)))
		}
	}
	return errors.Join(problems...)
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// report reports the end of id to the handler.
func (e *Executor) report(id string) {
	e.mu.Lock()
	silent := e.silent
	e.mu.Unlock()
	if silent {
		return
	}
	if err := e.exits.HandleExitEvent(id); err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("exit handler failed")
	}
}
