// Package attend bounds the calls that an executor serves.
//
// A call of Create or Restore may hang in a runtime, a daemon or a file system
// that does not answer. Its caller gets an error by a limit all the same. What
// hangs goes on in a goroutine that keeps the id to itself, and is undone when
// it returns at last.
package attend

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

var (
	// ErrClosed is the cause of all contexts of an executor that was closed.
	ErrClosed = errors.New("executor is closed")
	// ErrBusy refuses a second call for an id.
	ErrBusy = errors.New("an earlier call for it has not returned")
)

// Calls are those of Create and Restore of one executor that are in progress,
// one for each id. Make them with [New]. All methods may be called
// concurrently.
type Calls struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	active map[string]chan struct{}
}

// New returns the calls of an executor, whose context is derived from ctx.
func New(ctx context.Context) *Calls {
	c := &Calls{active: make(map[string]chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// Context returns the executor's context. It ends as Close begins.
func (c *Calls) Context() context.Context { return c.ctx }

// Enter begins a call for id; leave ends it. The errors are [ErrClosed] and
// [ErrBusy].
func (c *Calls) Enter(id string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, ErrClosed
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

// Close ends the executor's context, refuses further calls, and waits until
// those in progress have left. It returns the ids of those that have not when
// limit ends.
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

// Lasting returns a context that lasts limit. The end of the executor leaves it
// a moment only.
func (c *Calls) Lasting(limit, moment time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), limit)
	stop := context.AfterFunc(c.ctx, func() { time.AfterFunc(moment, cancel) })
	return ctx, func() { stop(); cancel() }
}

// Grace returns a context that ends some time after ctx: limit, or a moment if
// the executor has ended.
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

// Started is what a start made.
type Started[R any] struct {
	Run R
	Err error
	// Undo ends Run, or removes what is left after Err; nil if nothing is.
	Undo func()
}

// Try calls start in a goroutine of its own, and waits for it until overdue
// ends; ok is false then. If start fails, or ends too late, Undo is called and
// then leave. Otherwise the caller has the run, and calls leave itself.
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
