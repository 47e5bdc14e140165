// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/lifecycle"
)

// loop keeps the process running, until supervision ends or the first start
// failed. It returns the error of that start.
func (s *Supervisor) loop() error {
	for wait := s.Backoff; ; wait = min(2*wait, maxBackoff) {
		uptime, err := s.live()
		switch {
		case errors.Is(err, ErrAbandoned):
			return err
		case s.running.Err() != nil:
			return nil
		case err != nil && !s.KeepTrying && !s.wasReady():
			s.Changed(lifecycle.Refuse, err, 0)
			return err
		case uptime >= calmUptime:
			wait = s.Backoff
		}
		if !s.rest(err, jitter(wait)) {
			return nil
		}
	}
}

// live starts the process and waits until it has ended by itself or supervision
// ends. An error means that the process did not get ready.
func (s *Supervisor) live() (uptime time.Duration, err error) {
	if err := s.attempt(); err != nil {
		return 0, err
	}
	if !s.becomeReady() {
		return 0, nil
	}
	since := time.Now()
	s.Changed(lifecycle.Ready, nil, 0)
	s.settle(nil)
	if s.awaitEnd(s.running) {
		s.release()
	}
	return time.Since(since), nil
}

// rest waits before the next start. It returns false when supervision ends.
func (s *Supervisor) rest(err error, pause time.Duration) bool {
	if err == nil {
		s.Changed(lifecycle.Exit, &ExitedError{}, pause)
	} else {
		s.Changed(lifecycle.Defer, err, pause)
		s.settle(err)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.Changed(lifecycle.Retry, nil, 0)
		return true
	case <-s.running.Done():
		return false
	}
}

// attempt starts the process, or adopts a living process, and waits until it is
// ready. After an error the process is gone, unless supervision ended, a call
// hangs or the process is stuck. Then present is true, and the next attempt begins
// by ending that process.
func (s *Supervisor) attempt() error {
	defer s.hasBegun()
	s.forgetExits()
	adopted, err := s.settlePast()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.running, s.StartTimeout)
	defer cancel()
	if !adopted {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	s.hasBegun()
	err = s.awaitReady(ctx)
	var exited *ExitedError
	switch {
	case err == nil || s.running.Err() != nil:
		return err
	case errors.As(err, &exited):
		s.release()
		return err
	}
	// The start took too long. A process without its socket has nothing to save,
	// so it gets no SIGTERM first.
	if stuck := s.terminate(s.running, 0); stuck != nil {
		return errors.Join(err, stuck)
	}
	return err
}

// settlePast ends the process that an earlier manager or attempt left, or adopts
// it.
func (s *Supervisor) settlePast() (adopted bool, err error) {
	if err := s.restore(s.running); err != nil {
		return false, err
	}
	switch {
	case !s.present.Load():
		return false, nil
	case s.keep:
		s.keep = false
		return true, nil
	}
	err = s.terminate(s.running, s.StopTimeout)
	s.forgetExits()
	return false, err
}

// restore asks once whether an earlier manager left a process.
func (s *Supervisor) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.StartTimeout)
	defer cancel()
	if err := s.calls.idle(ctx); err != nil {
		return err
	}
	if s.known.Load() {
		return nil
	}
	_, err := do(ctx, s.calls, "restore", func() (bool, error) {
		alive, err := s.Process.Restore()
		if err == nil {
			s.known.Store(true)
			s.present.Store(alive)
			if !alive {
				s.Process.Ended()
			}
		}
		return alive, err
	})
	s.checkAbandoned(err)
	return err
}

// checkAbandoned detaches the supervisor if another one has the process.
func (s *Supervisor) checkAbandoned(err error) {
	if errors.Is(err, ErrAbandoned) {
		s.abandon()
	}
}

// StartCall is the name of [Process.Start] in a [HungError].
const StartCall = "start"

func (s *Supervisor) start(ctx context.Context) error {
	_, err := do(ctx, s.calls, StartCall, func() (struct{}, error) {
		s.present.Store(true)
		err := bounded.Protect(func() error { return s.Process.Start(ctx) })
		if err != nil {
			s.Process.Ended()
			s.present.Store(false)
		}
		return struct{}{}, err
	})
	s.checkAbandoned(err)
	return err
}

// awaitReady blocks until the process is ready, has ended, or ctx ends.
func (s *Supervisor) awaitReady(ctx context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan error, 1), make(chan bool, 1)
	go func() { ready <- bounded.Protect(func() error { return s.Process.Ready(waiting) }) }()
	go func() { ended <- s.awaitEnd(waiting) }()
	select {
	case err := <-ready:
		cancel()
		// A process that ended took its socket along. Its report may be late, or
		// be there and not checked.
		if <-ended || err != nil && ctx.Err() == nil && s.lookOnceMore() == gone {
			return &ExitedError{}
		}
		return err
	case hasEnded := <-ended:
		cancel()
		err, answered := settleReady(ready)
		switch {
		case hasEnded:
			return &ExitedError{}
		case answered:
			return err
		}
		return &HungError{Call: "the look at the socket", Err: context.Cause(ctx)}
	}
}

// settleReady gives the wait for the socket a moment to return, so that it returns
// its error and does not overlap with the next wait.
func settleReady(ready <-chan error) (err error, answered bool) {
	timer := time.NewTimer(bounded.Grace)
	defer timer.Stop()
	select {
	case err := <-ready:
		return err, true
	case <-timer.C:
		return nil, false
	}
}

// awaitEnd blocks until the process is known to have ended. It returns false
// when ctx ends first, and then keeps a report that it has not checked.
func (s *Supervisor) awaitEnd(ctx context.Context) bool {
	var again <-chan time.Time
	for pause := time.Second; ; {
		select {
		case <-ctx.Done():
			if again != nil {
				s.Exited()
			}
			return false
		case <-s.exits:
		case <-again:
		}
		again = nil
		switch s.look(ctx) {
		case gone:
			return true
		case unknown:
			again = time.After(pause)
			pause = min(2*pause, maxBackoff)
		}
	}
}

// presence is an executor's answer about a process.
type presence int

const (
	lives presence = iota
	gone
	unknown // the executor returned an error, or not in time
)

// look asks whether the process lives.
func (s *Supervisor) look(ctx context.Context) presence {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	alive, err := do(ctx, s.calls, "the look at the process", s.Process.Alive)
	switch {
	case err != nil:
		return unknown
	case alive:
		return lives
	}
	return gone
}

// lookOnceMore is a last look after the context has ended.
func (s *Supervisor) lookOnceMore() presence {
	ctx, cancel := context.WithTimeout(s.detached, bounded.Grace)
	defer cancel()
	return s.look(ctx)
}

// release releases the resources of a run that has ended. If that hangs, the next
// start waits for it.
func (s *Supervisor) release() {
	s.present.Store(false)
	ctx, cancel := context.WithTimeout(s.detached, callTimeout)
	defer cancel()
	_, _ = do(ctx, s.calls, "the release of the run", func() (struct{}, error) {
		s.Process.Ended()
		return struct{}{}, nil
	})
}

func (s *Supervisor) forgetExits() {
	select {
	case <-s.exits:
	default:
	}
}

// jitter shortens a wait by up to a fifth, so that plugins that exited together
// don't restart together.
func jitter(wait time.Duration) time.Duration {
	return wait - rand.N(wait/5+1)
}

// ExitedError reports a process that ended by itself.
type ExitedError struct{}

func (e *ExitedError) Error() string { return "the process exited" }
