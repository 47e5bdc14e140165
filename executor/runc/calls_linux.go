package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/dovetailhq/plugin/executor/internal/attend"
)

// perform makes a run by start and gives it the streams, which are closed if
// there is none. The context of start ends at limit and with the executor. A
// start that goes on after that, because something in it hangs beyond the
// reach of a context, is abandoned after the time that its undoing may take.
func (e *Executor) perform(id string, limit time.Duration, stdout, stderr io.WriteCloser, start func(context.Context) (*run, error)) (alive bool, err error) {
	ctx, cancel := context.WithTimeoutCause(e.calls.Context(), limit, fmt.Errorf("it took longer than %v", limit))
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
func (e *Executor) attempt(ctx context.Context, leave func(), start func(context.Context) (*run, error)) (*run, error) {
	overdue, cancel := e.calls.Grace(ctx, e.limits.cleanup+2*handover, 2*handover)
	defer cancel()
	r, ok, err := attend.Try(overdue, leave, func() attend.Started[*run] {
		r, err := start(ctx)
		started := attend.Started[*run]{Run: r, Err: err}
		if r != nil {
			started.Undo = r.undo
		}
		return started
	})
	if !ok {
		return nil, unavailableError{fmt.Errorf("the runtime, or a file system that it needs, hangs: %w", context.Cause(ctx))}
	}
	return r, err
}

// enter begins a call of Create or Restore, once the run of id that is ending
// is over; leave ends it. A run that lives is a conflict.
func (e *Executor) enter(ctx context.Context, id string) (leave func(), err error) {
	if !validID(id) {
		return nil, invalidParameterError{fmt.Errorf("id %q is no file name", id)}
	}
	if leave, err = e.calls.Enter(id); err != nil {
		return nil, unavailableError{err}
	}
	if err := errors.Join(e.renew(), e.awaitFree(ctx, id)); err != nil {
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
	if r.alive() {
		return conflictError{errors.New("it is running already")}
	}
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return unavailableError{fmt.Errorf("its last run is still ending: %w", context.Cause(ctx))}
	}
}

// cleaning returns a context for the removal of what a run left.
func (e *Executor) cleaning() (context.Context, context.CancelFunc) {
	return e.calls.Lasting(e.limits.cleanup, handover)
}

// validID reports whether id names a directory of its own.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsRune(id, filepath.Separator)
}
