// Package supervise keeps one plugin running: it starts the process, waits
// until it is ready, watches for its end, restarts it after a wait that
// doubles, and stops it when asked.
//
// Each [Supervisor] is one goroutine, from Start or Adopt until Stop, Detach
// or a first start that failed. Everything slow happens there; reporting an
// exit never blocks.
package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

const (
	// maxBackoff and calmUptime bound how hard a crash loop may hit the host.
	maxBackoff = 30 * time.Second
	calmUptime = 10 * time.Second
	// killTimeout is how long the kernel may take to end a killed process.
	killTimeout = 10 * time.Second
)

// Process is what is supervised. Its methods are called from the
// supervisor's goroutine, one at a time; only Ready has company: Alive and
// Signal may be called while it blocks.
type Process interface {
	// Start prepares and starts the process.
	Start() error
	// Ready blocks until the process serves, or until ctx ends.
	Ready(ctx context.Context) error
	// Alive asks whether the process lives.
	Alive() (bool, error)
	// Signal sends a signal to it. An error of class not found says that it
	// has ended, also when Alive is told so later.
	Signal(signal syscall.Signal) error
	// Ended releases what a run held. It is called once after each Start, and
	// after an adopted run, when the process is gone or was never made.
	Ended()
}

// Config is what a supervisor works by. All fields are required, but
// KeepTrying.
type Config struct {
	Process      Process
	StartTimeout time.Duration // until Ready
	StopTimeout  time.Duration // between SIGTERM and SIGKILL
	Backoff      time.Duration // before the first restart
	// KeepTrying restarts also when the first start fails. Otherwise that
	// ends the supervisor.
	KeepTrying bool
	// Changed is told of each step, with the error that caused it and, before
	// a restart, how long the wait is. It is called on the supervisor's
	// goroutine.
	Changed func(event lifecycle.Event, err error, wait time.Duration)
}

// Supervisor keeps one process running.
type Supervisor struct {
	Config
	exits  chan struct{} // at most one report is pending; more say the same
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	begun    chan struct{} // closed when the process was first started
	begin    sync.Once
	first    chan struct{} // closed when the first start has settled
	settle   sync.Once
	firstErr error
	stopErr  error // valid when done is closed
}

var (
	errStop   = errors.New("stopped")
	errDetach = errors.New("detached")
)

// New returns a supervisor that does nothing yet but note exits, and that it
// shall be interrupted. Exactly one of Start and Adopt follows.
func New(config Config) *Supervisor {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Supervisor{
		Config: config,
		ctx:    ctx,
		cancel: cancel,
		exits:  make(chan struct{}, 1),
		done:   make(chan struct{}),
		begun:  make(chan struct{}),
		first:  make(chan struct{}),
	}
}

// Start starts the process and supervises it, until ctx ends as by Stop.
func (s *Supervisor) Start(ctx context.Context) { s.run(ctx, s.Process.Start) }

// Adopt supervises a process that runs already, until ctx ends as by Stop.
func (s *Supervisor) Adopt(ctx context.Context) { s.run(ctx, s.stillAlive) }

func (s *Supervisor) run(ctx context.Context, begin func() error) {
	forget := context.AfterFunc(ctx, s.Interrupt)
	go func() {
		defer close(s.done)
		defer s.settled(errStop)
		defer s.hasBegun()
		defer forget()
		s.loop(s.ctx, begin)
	}()
}

// stillAlive begins an adopted run: its exit may have been reported before
// anybody listened.
func (s *Supervisor) stillAlive() error {
	if s.gone() {
		return &ExitedError{}
	}
	return nil
}

// Exited reports that the process may have ended. It never blocks, and may be
// called at any time, by anybody, as often as they like.
func (s *Supervisor) Exited() {
	select {
	case s.exits <- struct{}{}:
	default:
	}
}

// First waits until the first start has settled, and returns how.
func (s *Supervisor) First() error {
	<-s.first
	return s.firstErr
}

// Begun is closed when the first start is over with everything but the wait
// for the process to be ready, or has failed.
func (s *Supervisor) Begun() <-chan struct{} { return s.begun }

// Interrupt makes Stop come sooner, without waiting for it. It may come before
// Start, which then undoes what it has begun.
func (s *Supervisor) Interrupt() { s.cancel(errStop) }

// Stop ends supervision and the process, interrupting any wait, and returns
// when both are gone, or with a [StuckError]. It may be called repeatedly.
func (s *Supervisor) Stop() error {
	s.Interrupt()
	<-s.done
	return s.stopErr
}

// Detach ends supervision and leaves the process alone.
func (s *Supervisor) Detach() {
	s.cancel(errDetach)
	<-s.done
}

// Done is closed when supervision has ended.
func (s *Supervisor) Done() <-chan struct{} { return s.done }

func (s *Supervisor) hasBegun() { s.begin.Do(func() { close(s.begun) }) }

func (s *Supervisor) settled(err error) {
	s.settle.Do(func() {
		s.firstErr = err
		close(s.first)
	})
}

func (s *Supervisor) loop(ctx context.Context, begin func() error) {
	wait := s.Backoff
	for {
		err := s.attempt(ctx, begin)
		if ctx.Err() != nil {
			return
		}
		since := time.Now()
		if err == nil {
			s.Changed(lifecycle.Ready, nil, 0)
			s.settled(nil)
			if !s.watch(ctx) {
				return
			}
			if time.Since(since) >= calmUptime {
				wait = s.Backoff
			}
			pause := jitter(wait)
			s.Changed(lifecycle.Exit, &ExitedError{}, pause)
			s.Process.Ended()
			if !sleep(ctx, pause) {
				return
			}
		} else if !s.KeepTrying && s.unsettled() {
			s.Changed(lifecycle.Refuse, err, 0)
			s.settled(err)
			return
		} else {
			pause := jitter(wait)
			s.Changed(lifecycle.Defer, err, pause)
			s.settled(err)
			if !sleep(ctx, pause) {
				return
			}
		}
		wait = min(2*wait, maxBackoff)
		s.Changed(lifecycle.Retry, nil, 0)
		begin = s.Process.Start
	}
}

func (s *Supervisor) unsettled() bool {
	select {
	case <-s.first:
		return false
	default:
		return true
	}
}

// attempt starts the process and waits until it is ready. When it returns an
// error, or when ctx ended, the process is gone.
func (s *Supervisor) attempt(ctx context.Context, begin func() error) error {
	s.forgetExits()
	err := begin()
	s.hasBegun()
	if err != nil {
		s.Process.Ended()
		return err
	}
	err = s.awaitReady(ctx)
	if err == nil && ctx.Err() == nil {
		return nil
	}
	var exited *ExitedError
	if errors.As(err, &exited) {
		s.Process.Ended()
		return err
	}
	s.end(ctx)
	return err
}

// awaitReady blocks until the process is ready, has ended, took too long, or
// ctx ended.
func (s *Supervisor) awaitReady(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, s.StartTimeout)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- s.Process.Ready(waiting) }()
	for {
		select {
		case err := <-ready:
			return err
		case <-s.exits:
			if s.gone() {
				cancel()
				<-ready
				return &ExitedError{}
			}
		}
	}
}

// watch blocks until the process has ended, and reports false when ctx ended
// first; the process is then dealt with.
func (s *Supervisor) watch(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			s.end(ctx)
			return false
		case <-s.exits:
			// The report may be about an earlier run, or come twice.
			if s.gone() {
				return true
			}
		}
	}
}

// end stops the process, unless ctx ended to leave it running.
func (s *Supervisor) end(ctx context.Context) {
	if errors.Is(context.Cause(ctx), errDetach) {
		return
	}
	s.stopErr = s.terminate()
	s.Process.Ended()
}

// terminate asks the process to end, and then makes it.
func (s *Supervisor) terminate() error {
	s.forgetExits()
	asked := s.Process.Signal(syscall.SIGTERM)
	if s.awaitExit(s.StopTimeout, asked) {
		return nil
	}
	killed := s.Process.Signal(syscall.SIGKILL)
	if s.awaitExit(killTimeout, killed) {
		return nil
	}
	return &StuckError{Err: errors.Join(asked, killed)}
}

// awaitExit waits for a report and believes it: some executors say that a
// process lives for ever. A signal that did not arrive is not waited for,
// except by a process that was gone: its end is about to be told.
func (s *Supervisor) awaitExit(timeout time.Duration, signalled error) bool {
	if alive, err := s.Process.Alive(); err == nil && !alive {
		return true
	}
	absent := errdefs.IsNotFound(signalled)
	if signalled != nil && !absent {
		return false
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-s.exits:
		return true
	case <-timer.C:
		return absent || s.gone()
	}
}

// gone asks the executor, and believes a report that it can't contradict.
func (s *Supervisor) gone() bool {
	alive, err := s.Process.Alive()
	return err != nil || !alive
}

func (s *Supervisor) forgetExits() {
	select {
	case <-s.exits:
	default:
	}
}

// jitter shortens a wait by up to a fifth, so that plugins that died together
// don't return together.
func jitter(wait time.Duration) time.Duration {
	return wait - rand.N(wait/5+1)
}

func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ExitedError reports a process that ended by itself.
type ExitedError struct{}

func (e *ExitedError) Error() string { return "the process exited" }

// StuckError reports a process that survived SIGKILL. Class System.
type StuckError struct{ Err error }

func (e *StuckError) Error() string {
	if e.Err != nil {
		return plaintext.Sprintf("the process can't be stopped: %v", e.Err)
	}
	return "the process did not end within " + killTimeout.String() + " of SIGKILL"
}

// Unwrap returns why the signals did not arrive.
func (e *StuckError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *StuckError) System() {}
