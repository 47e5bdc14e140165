package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dovetailhq/plugin/executor/internal/attend"
)

// limits bound what waits for containerd.
type limits struct {
	// create bounds a Create until the plugin has started.
	create time.Duration
	// outage is how long any other call waits for a containerd that can't be
	// reached or does not answer: longer than a restart of it takes, and no
	// longer than a user would wait.
	outage time.Duration
	// cleanup bounds what should take milliseconds: ending and deleting what
	// is left of a run.
	cleanup time.Duration
	// close bounds Close.
	close time.Duration
}

var defaultLimits = limits{
	create:  time.Minute,
	outage:  10 * time.Second,
	cleanup: 10 * time.Second,
	close:   5 * time.Second,
}

// bounded returns a context for a call that may wait for containerd.
func (e *Executor) bounded(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(e.calls.Context(), limit, fmt.Errorf("it did not answer within %v", limit))
}

// cleaning returns a context for the removal of what a run left.
func (e *Executor) cleaning() (context.Context, context.CancelFunc) {
	return e.calls.Lasting(e.limits.cleanup, handover)
}

// perform makes a run by start and gives it the streams, which are closed if
// there is none. It returns when limit has passed, whether start has returned
// or not. What start makes later is undone then.
func (e *Executor) perform(id string, limit time.Duration, stdout, stderr io.WriteCloser, start func(context.Context) attend.Started[*run]) (alive bool, err error) {
	ctx, cancel := e.bounded(limit)
	defer cancel()
	leave, err := e.enter(ctx, id)
	if err == nil {
		var r *run
		if r, err = e.attempt(ctx, leave, start); err == nil {
			defer leave()
		}
		if r != nil {
			r.begin(stdout, stderr)
			return true, nil
		}
	}
	stdout.Close()
	stderr.Close()
	return false, err
}

// attempt returns the run that start makes. After an error it calls leave.
func (e *Executor) attempt(ctx context.Context, leave func(), start func(context.Context) attend.Started[*run]) (*run, error) {
	overdue, cancel := e.calls.Grace(ctx, handover, handover)
	defer cancel()
	r, ok, err := attend.Try(overdue, leave, func() attend.Started[*run] { return start(ctx) })
	if !ok {
		return nil, unavailableError{fmt.Errorf("containerd does not answer: %w", context.Cause(ctx))}
	}
	return r, err
}

// enter begins a call of Create or Restore, once the run of id that is ending
// is over; leave ends it. A run that lives is a conflict.
func (e *Executor) enter(ctx context.Context, id string) (leave func(), err error) {
	if leave, err = e.calls.Enter(id); err != nil {
		return nil, unavailableError{err}
	}
	if err := errors.Join(e.refused(e.hold.Renew()), e.awaitFree(ctx, id)); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// awaitFree waits until id has no run that is ending.
func (e *Executor) awaitFree(ctx context.Context, id string) error {
	r := e.run(id)
	if r == nil {
		return nil
	}
	task, err := e.task(ctx, id)
	if err != nil {
		return err
	}
	if task.lives() {
		return conflictError{errors.New("it is running already")}
	}
	r.lookAgain()
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return unavailableError{fmt.Errorf("its last run is still ending: %w", context.Cause(ctx))}
	}
}
