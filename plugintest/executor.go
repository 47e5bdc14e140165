package plugintest

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Executor is an executor of plugins for tests. Its runs are goroutines of
// this process and cost well under a millisecond. The zero value is ready for
// use: give it to a manager through [Executor.Creator]. The exported fields
// are set before the first use; all methods are safe for concurrent use.
//
// Runs outlive the manager that started them, as they do under real
// executors: after [Executor.Close] the same value can serve a second manager,
// which finds them with Restore. A test that is done calls
// [Executor.KillAll].
type Executor struct {
	// Behaviour is that of every run, unless Choose is set.
	Behaviour
	// Choose, if set, picks the behaviour of each run; attempt counts the
	// Create calls of id from 0. It is called without locks, possibly
	// concurrently for different ids.
	Choose func(id string, attempt int, spec specs.Spec) Behaviour

	mu      sync.Mutex
	exits   func(id string)
	plugins map[string]*history
}

// history is all that happened to one id.
type history struct {
	attempts int
	specs    []specs.Spec
	// newest is the latest run that started, alive or not.
	newest *Run
	// attached says that newest belongs to the manager of today.
	attached bool
	ending   *Ending
}

// HandleExits makes the executor tell exits the id of every run that ends,
// from now on. Nil tells nobody.
func (e *Executor) HandleExits(exits func(id string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exits = exits
}

// Create starts a run of id. It takes over both streams and closes them as
// the run ends, or at once if Create fails. A living run of id is replaced if
// a closed executor left it, and otherwise a conflict.
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

// replace ends a run of id that nobody attends any more.
func (e *Executor) replace(id string) error {
	e.mu.Lock()
	h := e.historyLocked(id)
	left, attached := h.newest, h.attached
	e.mu.Unlock()
	if left == nil || left.hasEnded() {
		return nil
	}
	if attached {
		return conflictError{fmt.Errorf("start plugin %s: it is running", id)}
	}
	left.forget()
	left.kill(Ending{Code: killedCode(syscall.SIGKILL)})
	<-left.done
	return nil
}

// IsRunning reports whether the newest run of id lives, or true if its
// behaviour says so.
func (e *Executor) IsRunning(id string) (bool, error) {
	if e.AlwaysRunning {
		return true, nil
	}
	r, _ := e.newest(id)
	return r != nil && (r.behaviour.AlwaysRunning || !r.hasEnded()), nil
}

// Restore attaches the streams to the newest run of id, if it lives, and
// closes them otherwise. What the run wrote while no manager was attached comes
// first. A living run that is attached already is an error of class conflict.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error) {
	r, err := e.adopt(id)
	if r == nil {
		stdout.Close()
		stderr.Close()
		return false, err
	}
	return r.attach(stdout, stderr), nil
}

// adopt returns the newest run of id, attached if it lives.
func (e *Executor) adopt(id string) (*Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.historyLocked(id)
	if h.newest == nil || h.newest.hasEnded() {
		return h.newest, nil
	}
	if h.attached {
		return nil, conflictError{fmt.Errorf("restore plugin %s: it is running", id)}
	}
	h.attached = true
	return h.newest, nil
}

// Runs returns the ids of all living runs, attached or not.
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

// Signal sends signal to the newest run of id. SIGKILL ends it, SIGTERM is
// for the program to obey; others mean nothing to the default program. The
// error is of class not found if id has no living run.
func (e *Executor) Signal(id string, signal syscall.Signal) error {
	r, _ := e.newest(id)
	if r == nil || !r.signal(signal) {
		return notFoundError{fmt.Errorf("signal plugin %s: it is not running", id)}
	}
	if r.endsWithin(signal) {
		<-r.done
		e.Report(id)
	}
	return nil
}

// Close lets go of all runs as the end of a daemon does: they live on, their
// streams are closed and their ends are reported to nobody, until Restore
// attaches them again. The executor can be used again at once.
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

// KillAll ends every run and waits for it. What is said of the ends is what
// is said of ends by SIGKILL.
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
