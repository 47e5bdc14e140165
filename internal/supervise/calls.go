// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// calls makes one call into a [Process] at a time. A call that hangs delays its
// caller only until a context ends. The next call waits until the hanging call
// has returned, because executors are never called concurrently for one ID.
type calls struct {
	line bounded.Line
	name atomic.Pointer[string] // of the newest call
	late chan struct{}          // gets a wake-up when a call that was given up returns
}

func newCalls() *calls {
	c := &calls{line: bounded.NewLine(), late: make(chan struct{}, 1)}
	c.name.Store(new(string))
	return c
}

// busy reports whether a call is in progress.
func (c *calls) busy() bool { return c.line.Busy() }

// idle waits until no call is in progress, or returns a [HungError].
func (c *calls) idle(ctx context.Context) error {
	if err := c.line.Idle(ctx); err != nil {
		return &HungError{Call: *c.name.Load(), Err: err}
	}
	return nil
}

// do calls f and returns its result, or a [HungError] when ctx ends first. A
// panic of f is a [bounded.PanicError].
func do[T any](ctx context.Context, c *calls, name string, f func() (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, &HungError{Call: name, Err: context.Cause(ctx)}
	}
	call, err := bounded.Start(ctx, c.line, func() (T, error) {
		c.name.Store(&name)
		return f()
	})
	if err != nil {
		return none, &HungError{Call: *c.name.Load(), Err: err}
	}
	value, returned, err := call.Await(ctx)
	if returned {
		return value, err
	}
	go func() {
		<-call.Done()
		notify(c.late)
	}()
	return none, &HungError{Call: name, Err: err}
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

// Unwrap returns why the call was given up.
func (e *HungError) Unwrap() error { return e.Err }

// System marks the error's class.
func (e *HungError) System() {}
