// SPDX-License-Identifier: Apache-2.0

// Package supervise keeps one plugin running: it starts the process, waits
// until it is ready, watches for its end, restarts it after a wait that
// doubles, and stops it when asked.
//
// Each [Supervisor] is one goroutine, from Start, Recover or End until the
// process is gone or the supervisor is detached. It makes every call into the
// [Process] on a separate goroutine: a call that hangs delays nothing beyond a
// limit, and its effects are undone when it returns.
//
// A process that cannot be stopped stays supervised: Stop returns a
// [StuckError], and the supervisor tries again, after waits that double and
// whenever Stop is called, until the process is gone.
package supervise

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/lifecycle"
)

const (
	// maxBackoff and calmUptime bound how hard a crash loop may hit the host.
	maxBackoff = 30 * time.Second
	calmUptime = 10 * time.Second
	// killTimeout is how long the kernel may take to end a killed process.
	killTimeout = 10 * time.Second
	// callTimeout bounds calls without another limit.
	callTimeout = 10 * time.Second
)

// Process is a supervised process. The supervisor makes one call at a time, from
// different goroutines; only Ready and CanTell may overlap with another call. Any
// call may hang, and may panic.
type Process interface {
	// Restore takes over a process that an earlier manager left, and reports
	// whether one lives. An error means that this is not known.
	Restore() (alive bool, err error)
	// Start prepares and starts the process. After an error no process is left.
	// It begins no further step once ctx has ended.
	Start(ctx context.Context) error
	// Ready blocks until the process serves, or until ctx ends.
	Ready(ctx context.Context) error
	// Alive reports whether the process lives.
	Alive() (bool, error)
	// CanTell reports whether Alive is meaningful: some fakes always return true.
	CanTell() bool
	// Signal sends a signal to the process. An error of class NotFound means
	// that the process has ended, even if Alive reports it later.
	Signal(signal syscall.Signal) error
	// Ended releases the resources of a run. It is called once after each run.
	Ended()
	// Stopped releases resources that outlive a run. It is called when
	// supervision ends and no process is left, and again if it hung.
	Stopped()
}

// Config configures a supervisor. All fields except KeepTrying are required.
type Config struct {
	Process      Process
	StartTimeout time.Duration // from the beginning of a start until ready
	StopTimeout  time.Duration // between SIGTERM and SIGKILL
	Backoff      time.Duration // before the first restart
	// KeepTrying retries a failed first start. Otherwise such a failure ends the
	// supervisor.
	KeepTrying bool
	// Changed is called at each step, with the error that caused it and,
	// before a restart, the length of the wait. It runs on the supervisor's
	// goroutine.
	Changed func(event lifecycle.Event, err error, wait time.Duration)
}

// Supervisor keeps one process running.
type Supervisor struct {
	Config
	calls *calls
	exits chan struct{} // at most one report is pending; more add nothing
	again chan struct{} // a Stop asks for another attempt

	// running ends when the process is to be stopped, detached when it is to be
	// left alone; detached is the parent.
	running  context.Context
	stop     context.CancelCauseFunc
	detached context.Context
	abandon  context.CancelFunc

	// known is false until Restore has answered; present is true from before
	// a process is made until it is known to be gone.
	known, present atomic.Bool
	keep           bool // keep a process that Restore finds; used by the goroutine only

	begun chan struct{} // closed when the process was first made, or was not
	first chan struct{} // closed when the first start has settled
	done  chan struct{}

	mu       sync.Mutex // guards what follows
	settled  bool
	ready    bool
	firstErr error
	waiters  []chan error // of Stop
	gone     bool
}

var (
	// ErrAbandoned is wrapped by errors of a [Process] that another supervisor
	// has taken over. It detaches the supervisor.
	ErrAbandoned = errors.New("another manager has taken over")

	errStopped  = errors.New("it was stopped")
	errDetached = errors.New("its supervision has ended")
)

// New returns an idle supervisor. Exited, Interrupt and Stop may be called
// from now on; exactly one of Start, Recover and End follows.
func New(config Config) *Supervisor {
	s := &Supervisor{
		Config: config,
		calls:  newCalls(),
		exits:  make(chan struct{}, 1),
		again:  make(chan struct{}, 1),
		begun:  make(chan struct{}),
		first:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	s.detached, s.abandon = context.WithCancel(context.Background())
	s.running, s.stop = context.WithCancelCause(s.detached)
	return s
}

// Start starts a process where none lives, and supervises it.
func (s *Supervisor) Start() {
	s.known.Store(true)
	go s.run()
}

// Recover supervises the process that an earlier manager left, if it lives and
// keep is set, else a new process. A new process is started only when Restore has
// reported that none lives, or when the earlier process has ended.
func (s *Supervisor) Recover(keep bool) {
	s.keep = keep
	go s.run()
}

// End stops the process that an earlier manager left, if one lives.
func (s *Supervisor) End() {
	s.stop(errStopped)
	go s.run()
}

func (s *Supervisor) run() {
	defer close(s.done)
	err := s.loop()
	if err == nil {
		err = context.Cause(s.running)
	}
	s.end(err)
	s.settle(err)
}

// Exited reports that the process may have ended. It never blocks, and may be
// called at any time and repeatedly.
func (s *Supervisor) Exited() { notify(s.exits) }

// First waits until the first start has settled, and returns its error. That
// takes no longer than StartTimeout and the end of the process that did not
// get ready.
func (s *Supervisor) First() error {
	<-s.first
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.firstErr
}

// Begun is closed when the first start has done everything but wait for the
// process to be ready, or has failed.
func (s *Supervisor) Begun() <-chan struct{} { return s.begun }

// Interrupt ends a first start that has not settled, with cause as its error,
// and with the process. It reports whether there was one; it does not wait.
func (s *Supervisor) Interrupt(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready || s.settled {
		return false
	}
	s.stop(cause)
	return true
}

// Stop ends supervision and the process, and returns when both are gone. It
// returns a [StuckError] when an attempt to end the process failed, or when
// ctx ends; the supervisor goes on trying. Calling Stop again begins another
// attempt at once.
func (s *Supervisor) Stop(ctx context.Context) error {
	failed := make(chan error, 1)
	s.mu.Lock()
	s.waiters = append(s.waiters, failed)
	s.mu.Unlock()
	s.stop(errStopped)
	notify(s.again)
	select {
	case <-s.done:
	case err := <-failed:
		return err
	case <-ctx.Done():
		return &StuckError{Err: context.Cause(ctx)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		return &StuckError{Err: errDetached}
	}
	return nil
}

// Detach ends supervision, soon, and leaves the process alone. Calls in
// progress are not waited for.
func (s *Supervisor) Detach() {
	s.abandon()
	<-s.done
}

// settle publishes how the first start went; only the first call counts.
func (s *Supervisor) settle(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return
	}
	s.settled, s.firstErr = true, err
	s.hasBegunLocked()
	close(s.first)
}

func (s *Supervisor) hasBegun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hasBegunLocked()
}

func (s *Supervisor) hasBegunLocked() {
	select {
	case <-s.begun:
	default:
		close(s.begun)
	}
}

// becomeReady makes the process ready, unless it is being stopped: after an
// Interrupt that returned true no start succeeds.
func (s *Supervisor) becomeReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = s.ready || s.running.Err() == nil
	return s.ready && s.running.Err() == nil
}

func (s *Supervisor) wasReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// notify wakes a receiver, once however often it is called.
func notify(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
