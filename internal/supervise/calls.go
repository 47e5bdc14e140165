package supervise

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// lateness is how long a call may be late once its time is up. A daemon that
// was stopped itself (SIGSTOP, a suspended machine) finds its timers expired
// and the answers unread: it looks once more before it gives a call up.
const lateness = time.Second

// calls makes one call into a [Process] at a time, each on a goroutine of its
// own, so that a call that hangs delays its caller no longer than a context
// allows. The next call waits until the one that hangs has returned, because
// executors are never called concurrently for one id.
type calls struct {
	slot chan struct{}          // full while a call is in progress
	name atomic.Pointer[string] // of the newest call
	late chan struct{}          // gets a wake-up when a call returns that was given up
}

func newCalls() *calls {
	c := &calls{slot: make(chan struct{}, 1), late: make(chan struct{}, 1)}
	c.name.Store(new(string))
	return c
}

// busy reports whether a call is in progress.
func (c *calls) busy() bool { return len(c.slot) > 0 }

// idle waits until no call is in progress, or returns a [HungError].
func (c *calls) idle(ctx context.Context) error {
	select {
	case c.slot <- struct{}{}:
		<-c.slot
		return nil
	case <-ctx.Done():
		return &HungError{Call: *c.name.Load(), Err: context.Cause(ctx)}
	}
}

// do calls f and returns its result, or a [HungError] when ctx ends first. A
// panic of f is a [PanicError].
func do[T any](ctx context.Context, c *calls, name string, f func() (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, &HungError{Call: name, Err: context.Cause(ctx)}
	}
	select {
	case c.slot <- struct{}{}:
	case <-ctx.Done():
		return none, &HungError{Call: *c.name.Load(), Err: context.Cause(ctx)}
	}
	c.name.Store(&name)
	type result struct {
		value T
		err   error
	}
	done, givenUp := make(chan result, 1), make(chan struct{})
	go func() {
		var r result
		r.err = Protect(func() (err error) {
			r.value, err = f()
			return err
		})
		<-c.slot
		done <- r
		select {
		case <-givenUp:
			notify(c.late)
		default:
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	if r, ok := lastWord(ctx, done); ok {
		return r.value, r.err
	}
	close(givenUp)
	if len(done) > 0 {
		r := <-done
		return r.value, r.err
	}
	return none, &HungError{Call: name, Err: context.Cause(ctx)}
}

// lastWord receives an answer that comes a little after ctx ran out of time.
func lastWord[T any](ctx context.Context, answer <-chan T) (got T, ok bool) {
	if context.Cause(ctx) != context.DeadlineExceeded {
		return got, false
	}
	timer := time.NewTimer(lateness)
	defer timer.Stop()
	select {
	case got = <-answer:
		return got, true
	case <-timer.C:
		return got, false
	}
}

// Protect calls f and turns a panic into an error.
func Protect(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}

// HungError reports a call that did not return before its context ended. Class
// System.
type HungError struct {
	Call string
	Err  error
}

func (e *HungError) Error() string {
	if errors.Is(e.Err, context.DeadlineExceeded) {
		return e.Call + " did not return in time"
	}
	return plaintext.Sprintf("%s did not return: %v", e.Call, e.Err)
}

// Unwrap returns why the call was no longer waited for.
func (e *HungError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *HungError) System() {}

// PanicError reports a call that panicked. Class System.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return plaintext.Sprintf("panic: %v", e.Value) }

// System marks the error's class.
func (e *PanicError) System() {}
