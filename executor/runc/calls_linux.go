// SPDX-License-Identifier: Apache-2.0

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
	"github.com/dovetailhq/plugin/internal/class"
)

// perform makes a run by start, which is given up after the time that its undoing
// can take.
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
		Grace:       e.limits.cleanup + 2*handover,
		ClosedGrace: 2 * handover,
		Hangs:       "the runtime, or a file system that it needs, hangs",
	})
}

// prepare waits for the end of a run of id that is ending. A living run is an error
// of class Conflict.
func (e *Executor) prepare(ctx context.Context, id string) error {
	if !validID(id) {
		return class.InvalidParameter(fmt.Errorf("id %q is not a file name", id))
	}
	if err := e.renew(); err != nil {
		return err
	}
	r := e.run(id)
	if r == nil {
		return nil
	}
	if r.alive() {
		return class.Conflict(errors.New("already running"))
	}
	return attend.AwaitEnd(ctx, r.over)
}

// cleaning returns a context for the removal of a run's leftovers.
func (e *Executor) cleaning() (context.Context, context.CancelFunc) {
	return e.calls.Lasting(e.limits.cleanup, handover)
}

// validID reports whether id can be the name of a directory.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsRune(id, filepath.Separator)
}
