package runc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/log"
)

// Executor runs plugins with an OCI runtime. Make one with [New]. Its methods
// may be called concurrently, but for the same id only one of Create and
// Restore at a time.
type Executor struct {
	settings
	root   string
	exits  ExitHandler
	starts *starts

	// closing ends what would otherwise wait for a runtime.
	closing chan struct{}
	// calls are those of Create and Restore that are under way.
	calls sync.WaitGroup

	mu     sync.Mutex
	closed bool
	runs   map[string]*run
	ended  map[string]ending
}

// New returns an executor that keeps its state below root, a directory that
// is made if absent and that no other executor may use at the same time. It
// tells exits the end of every run.
//
// New removes what an earlier executor left there of runs that are dead;
// living ones wait for Restore. It fails if the runtime is not installed or
// the directory can't be used, and blocks while leftovers are removed.
func New(root string, exits ExitHandler, opts ...Option) (*Executor, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	e := &Executor{
		settings: settings{runtime: defaultRuntime},
		root:     root,
		exits:    exits,
		closing:  make(chan struct{}),
		runs:     make(map[string]*run),
		ended:    make(map[string]ending),
	}
	for _, opt := range opts {
		opt(&e.settings)
	}
	if _, err := exec.LookPath(e.runtime); err != nil {
		return nil, unavailableError{fmt.Errorf("find OCI runtime: %w", err)}
	}
	for _, directory := range []string{e.runtimeRoot(), e.bundles()} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return nil, err
		}
	}
	if e.starts, err = newStarts(); err != nil {
		return nil, err
	}
	e.sweep()
	return e, nil
}

func (e *Executor) runtimeRoot() string { return filepath.Join(e.root, "runtime") }
func (e *Executor) bundles() string     { return filepath.Join(e.root, "bundles") }

func (e *Executor) bundle(id string) bundle { return bundle(filepath.Join(e.bundles(), id)) }

// IsRunning reports whether the main process of plugin id lives. That
// includes one that an earlier executor over the same directory left and that
// was not restored yet. A run is over once its end can be told: when LastExit
// knows about it and its output was delivered.
func (e *Executor) IsRunning(id string) (bool, error) {
	if !validID(id) || e.run(id) != nil {
		return e.run(id) != nil, nil
	}
	p, err := findProcess(e.bundle(id).load().Init)
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
// not found if that does not run.
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
	if r := e.run(id); r != nil {
		return r.signal(signal)
	}
	if !validID(id) {
		return errGone
	}
	p, err := findProcess(e.bundle(id).load().Init)
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
// reported once Close has returned. A Create that is under way fails. What
// remains of a living run that this executor started are the goroutines that
// reap its runtime when that ends. Close may be called more than once.
func (e *Executor) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.closing)
	e.mu.Unlock()
	e.calls.Wait()

	e.mu.Lock()
	var runs []*run
	for _, r := range e.runs {
		runs = append(runs, r)
	}
	e.mu.Unlock()
	for _, r := range runs {
		r.letGo()
	}
	for _, r := range runs {
		<-r.watched
	}
	e.starts.close()
	return nil
}

// enter begins a call of Create or Restore, once id has no run that is ending;
// leave ends it. A run that lives is a conflict.
func (e *Executor) enter(id string) (leave func(), err error) {
	if !validID(id) {
		return nil, invalidParameterError{fmt.Errorf("id %q is no file name", id)}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.runs[id] != nil {
		r := e.runs[id]
		if r.alive() {
			return nil, conflictError{errors.New("it is running already")}
		}
		e.mu.Unlock()
		<-r.over
		e.mu.Lock()
	}
	if e.closed {
		return nil, unavailableError{errors.New("executor is closed")}
	}
	e.calls.Add(1)
	return e.calls.Done, nil
}

// validID reports whether id names a directory of its own.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsRune(id, filepath.Separator)
}

func (e *Executor) run(id string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// report tells the handler of the end of id.
func (e *Executor) report(id string) {
	if err := e.exits.HandleExitEvent(id); err != nil {
		log.L.WithError(err).WithField("plugin", id).Warn("exit of plugin was not handled")
	}
}
