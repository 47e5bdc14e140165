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
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Executor runs plugins with an OCI runtime. Make one with [New]. Its methods
// may be called concurrently, but for the same id only one of Create and
// Restore at a time.
type Executor struct {
	settings
	root   string
	exits  ExitHandler
	starts *starts

	hold  *hold.Hold
	calls *attend.Calls
	// shut ends the executor, once.
	shut func() error

	mu    sync.Mutex
	runs  map[string]*run
	ended map[string]ending
	// left are the runs that lived as New was called.
	left map[string]record
	// silent says that no end is reported any more.
	silent bool
	// watched are the runs whose goroutine has not ended. It includes those
	// whose end is being reported.
	watched map[*run]struct{}
}

// New returns an executor that keeps its state below root, a directory that
// is made if absent. It tells exits the end of every run.
//
// One executor at a time uses root. If another process does, the error is a
// [LockedError]. That includes a process that holds a directory which was deleted
// from root, and whose runs live. An older executor of this process is closed,
// as if its daemon had ended.
//
// New removes what an earlier executor left there of runs that are dead;
// living ones wait for Restore. It fails if the runtime is not installed or
// the directory can't be used. It blocks while leftovers are removed, for ten
// seconds at most: what remains is removed by Create or Restore of its id.
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
		return nil, unavailableError{fmt.Errorf("find OCI runtime: %w", err)}
	}
	e.shut = sync.OnceValue(e.close)
	if e.hold, err = hold.Take(root, e); err != nil {
		return nil, e.refused(err)
	}
	e.starts = newStarts()
	if err := errors.Join(e.makeDirectories(), e.findLeft()); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.sweep()
	return e, nil
}

// refused gives the error of a lock that another process has its type.
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

// IsRunning reports whether the main process of plugin id lives. That
// includes one that an earlier executor over the same directory left and that
// was not restored yet. A run is over once its end can be told: when LastExit
// knows about it and its output was delivered. An error means that nothing is
// known, for example because no file can be opened. It waits for nothing.
func (e *Executor) IsRunning(id string) (bool, error) {
	if !validID(id) || e.run(id) != nil {
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
// not found if that does not run, and unavailable once a newer executor of this
// process has taken the directory over. It waits for nothing.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	err := e.signal(id, signal)
	if errors.Is(err, errGone) {
		return notFoundError{fmt.Errorf("signal plugin %s: it is not running", id)}
	}
	if err != nil {
		return fmt.Errorf("signal plugin %s: %w", id, err)
	}
	return nil
}

func (e *Executor) signal(id string, signal syscall.Signal) error {
	if !e.hold.HeldBy(e) {
		return unavailableError{errTakenOver}
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
// 128+n if it ended by signal n, and whether the kernel killed it for want of
// memory, as far as that could be seen. ok is false if no run has ended since
// New, or if the code is not known.
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

// Close stops watching all runs, without ending any: what they write is kept
// for the executor that restores them, their streams are closed, and no end is
// reported once Close has returned. A Create or Restore in progress fails, and
// later ones fail at once. What remains of a living run that this executor
// started are the goroutines that reap its runtime when that ends.
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
		problems = append(problems, unavailableError{fmt.Errorf("close executor: a start of plugin %s hangs", id)})
	}
	problems = append(problems, e.awaitRuns(limit))
	e.mu.Lock()
	e.silent = true
	e.mu.Unlock()
	e.starts.close()
	e.hold.Release(e)
	return errors.Join(problems...)
}

// awaitRuns lets go of all runs.
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
			problems = append(problems, unavailableError{fmt.Errorf("close executor: the end of plugin %s is still being handled", r.id)})
		}
	}
	return errors.Join(problems...)
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// report tells the handler of the end of id.
func (e *Executor) report(id string) {
	e.mu.Lock()
	silent := e.silent
	e.mu.Unlock()
	if silent {
		return
	}
	if err := e.exits.HandleExitEvent(id); err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("exit of plugin was not handled")
	}
}
