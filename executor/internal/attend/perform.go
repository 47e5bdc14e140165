// SPDX-License-Identifier: Apache-2.0

package attend

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dovetailhq/plugin/internal/class"
)

// Run is what a [Call] makes: the process of a plugin.
type Run interface {
	comparable
	// Begin gives the run its streams and starts to watch it.
	Begin(stdout, stderr io.WriteCloser)
}

// Call is a call of Create or Restore.
type Call[R Run] struct {
	ID             string
	Stdout, Stderr io.WriteCloser
	// Start makes the run. The zero value of R means that there is none. Its
	// context ends at Limit, or when the executor is closed.
	Start func(context.Context) Started[R]
	Limit time.Duration
	// Grace is how long Start can take after Limit to undo what it did, and
	// ClosedGrace how long after a Close.
	Grace, ClosedGrace time.Duration
	// Hangs is the error of a Start that exceeds these limits.
	Hangs string
}

// Perform starts a run and gives it the streams. Without a run it closes the
// streams. A run that starts after Perform has given up is undone.
//
// The error is that of Start, or of class Unavailable if Start hangs, if another
// call for the ID is in progress, or if the executor is closed.
func Perform[R Run](c *Calls, call Call[R]) (alive bool, err error) {
	var none R
	run, leave, err := call.attempt(c)
	if err == nil {
		defer leave()
	}
	if err != nil || run == none {
		call.Stdout.Close()
		call.Stderr.Close()
		return false, err
	}
	run.Begin(call.Stdout, call.Stderr)
	return true, nil
}

// attempt returns the run that Start makes. The caller calls leave, unless there is
// an error.
func (call Call[R]) attempt(c *Calls) (run R, leave func(), err error) {
	if leave, err = c.Enter(call.ID); err != nil {
		return run, nil, class.Unavailable(err)
	}
	ctx, cancel := c.Bounded(call.Limit)
	defer cancel()
	overdue, cancel := c.Grace(ctx, call.Grace, call.ClosedGrace)
	defer cancel()
	run, ok, err := Try(overdue, leave, func() Started[R] { return call.Start(ctx) })
	if !ok {
		err = class.Unavailable(fmt.Errorf("%s: %w", call.Hangs, context.Cause(ctx)))
	}
	return run, leave, err
}

// AwaitEnd waits until over is closed, because the previous run of an ID is ending.
// The error is of class Unavailable if ctx ends before.
func AwaitEnd(ctx context.Context, over <-chan struct{}) error {
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return class.Unavailable(fmt.Errorf("previous run is still ending: %w", context.Cause(ctx)))
	}
}
