package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

var (
	errClosed    = errors.New("executor is closed")
	errTakenOver = errors.New("a newer executor has taken its directory over")
	errBusy      = errors.New("an earlier call for it has not returned")
)

// call is one of Create or Restore in progress. An abandoned one is until what
// hung has returned.
type call struct {
	id   string
	done chan struct{}
}

// perform makes a run by start and gives it the streams, which are closed if
// there is none. The context of start ends at limit and with the executor.
func (e *Executor) perform(id string, limit time.Duration, stdout, stderr io.WriteCloser, start func(context.Context) (*run, error)) (alive bool, err error) {
	ctx, cancel := context.WithTimeoutCause(e.ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	c, err := e.enter(ctx, id)
	if err == nil {
		var r *run
		if r, err = e.attempt(ctx, c, start); r != nil {
			r.begin(stdout, stderr)
			e.leave(c)
			return true, nil
		}
	}
	stdout.Close()
	stderr.Close()
	return false, err
}

// attempt calls start. If that goes on although its context has ended, because
// something in it hangs beyond the reach of a context, attempt returns after
// the time that undoing may take, and the run that start makes at last is
// ended. Without a run the call has left, or leaves then.
func (e *Executor) attempt(ctx context.Context, c *call, start func(context.Context) (*run, error)) (*run, error) {
	type result struct {
		run *run
		err error
	}
	results, abandoned := make(chan result), make(chan struct{})
	go func() {
		r, err := start(ctx)
		if r == nil {
			e.leave(c)
		}
		select {
		case results <- result{r, err}:
		case <-abandoned:
			if r != nil {
				r.undo()
				e.leave(c)
			}
		}
	}()
	overdue, stop := e.undoing(ctx)
	defer stop()
	select {
	case got := <-results:
		return got.run, got.err
	case <-overdue.Done():
		close(abandoned)
		return nil, unavailableError{fmt.Errorf("the runtime, or a file system that it needs, hangs: %w", context.Cause(ctx))}
	}
}

// undoing returns a context for the wait until a call whose ctx has ended is
// undone.
func (e *Executor) undoing(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		grace := e.limits.cleanup + 2*handover
		if e.ctx.Err() != nil {
			grace = 2 * handover
		}
		time.AfterFunc(grace, cancel)
	})
	return late, func() { stop(); cancel() }
}

// cleaning returns a context for the removal of what a run left. The end of
// the executor leaves it a moment only.
func (e *Executor) cleaning() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), e.limits.cleanup)
	stop := context.AfterFunc(e.ctx, func() { time.AfterFunc(handover, cancel) })
	return ctx, func() { stop(); cancel() }
}

// enter begins a call of Create or Restore, once the run of id that is ending
// is over; leave ends it. A run that lives is a conflict.
func (e *Executor) enter(ctx context.Context, id string) (*call, error) {
	if !validID(id) {
		return nil, invalidParameterError{fmt.Errorf("id %q is no file name", id)}
	}
	for {
		c, ending, err := e.tryEnter(id)
		if ending == nil {
			return c, err
		}
		select {
		case <-ending.over:
		case <-ctx.Done():
			return nil, unavailableError{fmt.Errorf("its last run is still ending: %w", context.Cause(ctx))}
		}
	}
}

// tryEnter returns the run to wait for, if there is one.
func (e *Executor) tryEnter(id string) (c *call, ending *run, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch r := e.runs[id]; {
	case e.closed:
		return nil, nil, unavailableError{errClosed}
	case e.calls[id] != nil:
		return nil, nil, unavailableError{errBusy}
	case r != nil && r.alive():
		return nil, nil, conflictError{errors.New("it is running already")}
	case r != nil:
		return nil, r, nil
	}
	c = &call{id: id, done: make(chan struct{})}
	e.calls[id] = c
	return c, nil, nil
}

func (e *Executor) leave(c *call) {
	e.mu.Lock()
	delete(e.calls, c.id)
	e.mu.Unlock()
	close(c.done)
}

// validID reports whether id names a directory of its own.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsRune(id, filepath.Separator)
}
