// SPDX-License-Identifier: Apache-2.0

package bounded

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Grace is how long an answer can be late once the time of its caller is up. A
// daemon that was stopped itself (SIGSTOP, a suspended machine) finds its timers
// expired and the answers unread.
const Grace = time.Second

// Call is a call in progress, or what it returned. Any number of goroutines can
// wait for it.
type Call[T any] struct {
	done  chan struct{} // closed once value and err are final
	value T
	err   error
}

// Go begins to call f. A panic of f becomes a [PanicError].
func Go[T any](f func() (T, error)) *Call[T] {
	c := &Call[T]{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = Protect(func() (err error) {
			c.value, err = f()
			return err
		})
	}()
	return c
}

// Done is closed when the call has returned.
func (c *Call[T]) Done() <-chan struct{} { return c.done }

// Await blocks until the call has returned, and returns its results. When ctx
// ends first, returned is false and err the cause of that; a context that ran out
// of time is granted [Grace].
func (c *Call[T]) Await(ctx context.Context) (value T, returned bool, err error) {
	return c.await(ctx, Grace)
}

func (c *Call[T]) await(ctx context.Context, grace time.Duration) (value T, returned bool, err error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			c.awaitFor(grace)
		}
	}
	select {
	case <-c.done: // also when ctx has ended as well
		return c.value, true, c.err
	default:
		return value, false, context.Cause(ctx)
	}
}

func (c *Call[T]) awaitFor(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
}

// Within returns the result of ask, which may hang. It returns false when ask
// panics, or has not returned after limit and a further wait: [Grace], or limit
// again if that is shorter.
func Within[T any](limit time.Duration, ask func() T) (got T, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	got, returned, err := Go(func() (T, error) { return ask(), nil }).await(ctx, min(limit, Grace))
	return got, returned && err == nil
}

// ErrLeft is the error of [Step] when it returned before its call.
var ErrLeft = errors.New("it did not end in time, and is left")

// Step calls call, which may hang. It returns when call has returned, or [Grace]
// after the end of limit or ctx.
func Step(ctx context.Context, limit time.Duration, name string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrLeft)
	defer cancel()
	_, _, err := Go(func() (struct{}, error) { return struct{}{}, call(ctx) }).Await(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// IgnoringContext adapts call for [Step]. The call continues after the limit.
func IgnoringContext(call func() error) func(context.Context) error {
	return func(context.Context) error { return call() }
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

// PanicError reports a call that panicked. Class System.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return plaintext.Sprintf("panic: %v", e.Value) }

// System marks the error's class.
func (e *PanicError) System() {}
