// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/internal/class"
)

// limits bound how long calls wait for containerd.
type limits struct {
	// create bounds a Create until the plugin has started.
	create time.Duration
	// outage is how long any other call waits for a containerd that can't be
	// reached or does not answer. It is longer than a restart of containerd
	// takes.
	outage time.Duration
	// cleanup bounds the removal of a run, which should take milliseconds.
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

// cleaning returns a context for the removal of a run.
func (e *Executor) cleaning() (context.Context, context.CancelFunc) {
	return e.calls.Lasting(e.limits.cleanup, handover)
}

// perform makes a run by start. It returns at limit even if start has not returned.
func (e *Executor) perform(id string, limit time.Duration, stdout, stderr io.WriteCloser, start func(context.Context) attend.Started[*run]) (alive bool, err error) {
	return attend.Perform(e.calls, attend.Call[*run]{
		ID: id, Stdout: stdout, Stderr: stderr,
		Start: func(ctx context.Context) attend.Started[*run] {
			if err := e.prepare(ctx, id); err != nil {
				return attend.Started[*run]{Err: err}
			}
			return start(ctx)
		},
		Limit:       limit,
		Grace:       handover,
		ClosedGrace: handover,
		Hangs:       "containerd does not answer",
	})
}

// prepare waits until an ending run of id is gone. A living run is an error of class
// Conflict.
func (e *Executor) prepare(ctx context.Context, id string) error {
	if err := e.refused(e.hold.Renew()); err != nil {
		return err
	}
	r := e.run(id)
	if r == nil {
		return nil
	}
	task, err := e.task(ctx, id)
	if err != nil {
		return err
	}
	if task.lives() {
		return class.Conflict(errors.New("already running"))
	}
	r.recheck()
	return attend.AwaitEnd(ctx, r.over)
}
