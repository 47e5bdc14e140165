// SPDX-License-Identifier: Apache-2.0

// Package attend bounds the time of an executor's calls.
//
// A call of Create or Restore can hang in a runtime, a daemon or a file system that
// does not answer. At a limit its caller gets an error. The hanging call continues
// in a goroutine that blocks other calls for the same ID. Its effect is undone when
// it returns.
package attend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var (
	// ErrClosed is the cause of all contexts of a closed executor.
	ErrClosed = errors.New("executor is closed")
	// ErrBusy reports a second call for an ID.
	ErrBusy = errors.New("an earlier call for this plugin has not returned")
)

// Calls are an executor's calls of Create and Restore that are in progress, at most
// one per ID. Use [New] to make it. It is safe for concurrent use.
type Calls struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	active map[string]chan struct{}
}

// New returns the calls of an executor. The executor's context derives from ctx.
func New(ctx context.Context) *Calls {
	c := &Calls{active: make(map[string]chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// Context returns the executor's context. Close cancels it.
func (c *Calls) Context() context.Context { return c.ctx }

// Check returns [ErrClosed] once Close was called.
func (c *Calls) Check() error {
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// Enter begins a call for id. The caller ends it by leave. The error is [ErrClosed]
// or [ErrBusy].
func (c *Calls) Enter(id string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.active[id] != nil {
		return nil, ErrBusy
	}
	done := make(chan struct{})
	c.active[id] = done
	return func() {
		c.mu.Lock()
		delete(c.active, id)
		c.mu.Unlock()
		close(done)
	}, nil
}

// Close cancels the executor's context, refuses further calls, and waits until the
// calls in progress have ended. It returns the sorted IDs of calls that have not
// ended when limit ends.
func (c *Calls) Close(limit context.Context) (hanging []string) {
	c.mu.Lock()
	c.cancel(ErrClosed)
	active := make(map[string]chan struct{}, len(c.active))
	for id, done := range c.active {
		active[id] = done
	}
	c.mu.Unlock()
	for id, done := range active {
		select {
		case <-done:
		case <-limit.Done():
			hanging = append(hanging, id)
		}
	}
	slices.Sort(hanging)
	return hanging
}

// Bounded returns a context that ends after limit, or when the executor is closed.
func (c *Calls) Bounded(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(c.ctx, limit, fmt.Errorf("no answer within %v", limit))
}

// Lasting returns a context that ends after limit, or earlier if the executor is
// closed: moment after that.
func (c *Calls) Lasting(limit, moment time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), limit)
	stop := context.AfterFunc(c.ctx, func() { time.AfterFunc(moment, cancel) })
	return ctx, func() { stop(); cancel() }
}

// Grace returns a context that ends after ctx: limit later, or moment later if the
// executor is closed then.
func (c *Calls) Grace(ctx context.Context, limit, moment time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	stop := context.AfterFunc(ctx, func() {
		if c.ctx.Err() != nil {
			limit = moment
		}
		time.AfterFunc(limit, cancel)
	})
	return late, func() { stop(); cancel() }
}

// Started is the result of a start.
type Started[R any] struct {
	Run R
	Err error
	// Undo ends Run, or removes what a failed start left. It is nil if there is
	// nothing to undo.
	Undo func()
}

// Try calls start in a goroutine and waits for it until overdue ends; then ok is
// false. If start fails or returns too late, Try calls Undo and then leave.
// Otherwise the caller owns the run and calls leave itself.
func Try[R any](overdue context.Context, leave func(), start func() Started[R]) (run R, ok bool, err error) {
	results, abandoned := make(chan Started[R]), make(chan struct{})
	go func() {
		result := start()
		finished := result.Err != nil && result.Undo == nil
		if finished {
			leave()
		}
		select {
		case results <- result:
			finished = finished || result.Err == nil
		case <-abandoned:
		}
		if finished {
			return
		}
		if result.Undo != nil {
			result.Undo()
		}
		leave()
	}()
	select {
	case result := <-results:
		return result.Run, true, result.Err
	case <-overdue.Done():
		close(abandoned)
		return run, false, nil
	}
}
