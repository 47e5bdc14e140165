// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// end ends the process, however many attempts that takes, unless the
// supervisor is detached. reason is why supervision ended.
func (s *Supervisor) end(reason error) {
	if s.calls.busy() {
		s.settle(reason) // a call hangs: whoever started the plugin is not kept waiting for it
	}
	grace := s.StopTimeout
	if s.isRefused(reason) {
		grace = 0
	}
	for wait := s.Backoff; s.detached.Err() == nil; wait = min(2*wait, maxBackoff) {
		err := s.terminate(s.detached, grace)
		if err == nil {
			err = s.close()
		}
		if err == nil {
			return
		}
		if s.detached.Err() != nil {
			return
		}
		s.settle(reason)
		s.Changed(lifecycle.Stick, err, 0)
		s.fail(err)
		s.linger(wait)
		grace = 0 // it was asked, and did not end
	}
}

// isRefused reports whether supervision ended because the first start failed.
func (s *Supervisor) isRefused(reason error) bool { return s.running.Err() == nil && reason != nil }

// close ends supervision of a process that is gone.
func (s *Supervisor) close() error {
	ctx, cancel := context.WithTimeout(s.detached, callTimeout)
	defer cancel()
	_, err := do(ctx, s.calls, "the release of its mounts", func() (struct{}, error) {
		s.Process.Stopped()
		return struct{}{}, nil
	})
	var hung *HungError
	if errors.As(err, &hung) {
		return &StuckError{Err: err}
	}
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	s.Changed(lifecycle.Stopped, nil, 0)
	return nil
}

// fail answers the calls of Stop that wait.
func (s *Supervisor) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, waiter := range s.waiters {
		waiter <- err
	}
	s.waiters = nil
	select {
	case <-s.again: // it was of those
	default:
	}
}

// linger waits for a reason to try again: a Stop, an exit report, the return
// of a call that was given up, or time.
func (s *Supervisor) linger(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.detached.Done():
	case <-s.again:
	case <-s.exits:
	case <-s.calls.late:
	case <-timer.C:
	}
}

// terminate ends the process, if there is one: by SIGTERM if grace is not
// zero, and by SIGKILL when that has passed. It returns nil when the process
// is gone, else a [StuckError]. Each step has its own limit from when it begins: a
// daemon that was stopped itself (SIGSTOP, a suspended machine) finds the limit of
// one step expired, and performs the next.
func (s *Supervisor) terminate(ctx context.Context, grace time.Duration) error {
	restoring, cancel := context.WithTimeout(ctx, grace+killTimeout)
	defer cancel()
	if err := s.restore(restoring); err != nil {
		return &StuckError{Err: err}
	}
	if !s.present.Load() {
		return nil
	}
	s.forgetExits()
	e := ending{Supervisor: s}
	var asked error
	isGone := false
	if grace > 0 {
		isGone, asked = e.ask(ctx, grace)
	}
	var killed error
	if !isGone {
		isGone, killed = e.kill(ctx)
	}
	if !isGone {
		return &StuckError{Err: errors.Join(asked, killed)}
	}
	s.release()
	return nil
}

// ending is one attempt to end a process.
type ending struct {
	*Supervisor
	reported bool // an exit was reported since the attempt began
}

// ask sends SIGTERM and waits for the process to end, for grace at most. A report
// that the executor contradicts may be late, or of another process: then, as after
// grace, SIGKILL follows.
func (e *ending) ask(ctx context.Context, grace time.Duration) (isGone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err = e.signal(ctx, syscall.SIGTERM)
	for {
		if e.look(ctx) == gone {
			return true, nil
		}
		if e.reported || err != nil && !errdefs.IsNotFound(err) {
			return false, err
		}
		// A process that was not found has ended: its report is on its way.
		select {
		case <-e.exits:
			e.reported = true
		case <-ctx.Done():
			return false, err
		}
	}
}

// kill sends SIGKILL and waits for the process to end, for killTimeout at most. A
// report that the executor contradicts gets a second SIGKILL: most say now that they
// don't find the process. If that is reported as well, the report is believed.
func (e *ending) kill(ctx context.Context) (isGone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if e.reported && !e.canTell(ctx) {
		e.killFake(ctx)
		return true, nil
	}
	for range 2 {
		err = e.signal(ctx, syscall.SIGKILL)
		switch seen := e.look(ctx); {
		case seen == gone, errdefs.IsNotFound(err), seen == unknown && e.reported && err == nil:
			return true, nil
		case err != nil:
			return false, err
		}
		select {
		case <-e.exits:
			e.reported = true
		case <-ctx.Done():
			return e.lookOnceMore() == gone, nil
		}
		if e.look(ctx) == gone || !e.canTell(ctx) {
			return true, nil
		}
	}
	return true, nil
}

// killFake sends SIGKILL to a process that was reported as ended by an executor
// that reports every process as running. Such executors are fakes, and some hang
// in this call.
func (e *ending) killFake(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bounded.Grace)
	defer cancel()
	_ = e.signal(ctx, syscall.SIGKILL) // the report is believed all the same
	if e.calls.busy() {
		e.calls = newCalls()
	}
}

func (e *ending) signal(ctx context.Context, signal syscall.Signal) error {
	_, err := do(ctx, e.calls, "the signal "+signal.String(), func() (struct{}, error) {
		return struct{}{}, e.Process.Signal(signal)
	})
	e.checkAbandoned(err)
	return err
}

// canTell asks outside of the line of calls, because a signal may hang in it.
func (e *ending) canTell(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := do(ctx, newCalls(), "the look at no process", func() (bool, error) { return e.Process.CanTell(), nil })
	return err != nil || answer
}

// StuckError reports a process that could not be ended. Class System.
type StuckError struct{ Err error }

func (e *StuckError) Error() string {
	if e.Err != nil {
		return plaintext.Sprintf("the process can't be stopped: %v", e.Err)
	}
	return "the process did not end within " + killTimeout.String() + " of SIGKILL"
}

// Unwrap returns why the process could not be ended.
func (e *StuckError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *StuckError) System() {}
