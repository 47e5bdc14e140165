// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Create starts the process of plugin id from spec and returns once it has
// started. The rootfs of spec is a directory. Create takes ownership of both
// streams, and closes them when the run has ended, or at once if Create fails.
//
// Create replaces a container or task of id that a crashed daemon left, even if it
// is alive. It returns an error of class Conflict if this executor has a living
// run of id, and one of class Unavailable if containerd can't be reached, goes
// down, or does not answer within a minute. Other errors are those of containerd
// and the runtime. Close ends the wait at once.
//
// A failed Create leaves nothing behind. If containerd did not answer, the
// executor removes the container once containerd answers again. Until then calls
// of Create and Restore for id return errors of class Unavailable.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	_, err := e.perform(id, e.limits.create, stdout, stderr, func(ctx context.Context) attend.Started[*run] {
		return e.create(ctx, id, spec)
	})
	if err != nil {
		return fmt.Errorf("start plugin %s: %w", id, err)
	}
	return nil
}

// create removes what an earlier daemon left of id and starts a run.
func (e *Executor) create(ctx context.Context, id string, spec specs.Spec) attend.Started[*run] {
	if err := e.clear(ctx, id); err != nil {
		return attend.Started[*run]{Err: err}
	}
	undo := func() { e.undo(id) }
	r, err := e.start(ctx, id, spec)
	if err == nil {
		return attend.Started[*run]{Run: r, Undo: func() {
			r.streams.close()
			undo()
		}}
	}
	err = native(ctx, err)
	cleaning, cancel := e.cleaning()
	defer cancel()
	if problem := e.clear(cleaning, id); problem != nil {
		return attend.Started[*run]{Err: errors.Join(err, problem), Undo: undo}
	}
	return attend.Started[*run]{Err: err}
}

// start makes a container and its task. It does not cancel a request when ctx
// ends, because the request's effect would be unknown and could not be undone. It
// makes no further requests then.
func (e *Executor) start(ctx context.Context, id string, spec specs.Spec) (*run, error) {
	if err := e.createContainer(id, spec); err != nil {
		return nil, err
	}
	p := e.pipes(id)
	s, err := p.open()
	if err != nil {
		return nil, err
	}
	pid, err := e.startTask(ctx, id, p)
	if err != nil {
		s.close()
		return nil, err
	}
	s.closeKeepers()
	return e.newRun(id, pid, s), nil
}

func (e *Executor) startTask(ctx context.Context, id string, p pipes) (pid uint32, err error) {
	service := e.client.TaskService()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	created, err := service.Create(e.ctx, &tasks.CreateTaskRequest{ContainerID: id, Stdout: p.stdout, Stderr: p.stderr})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		_, err = service.Start(e.ctx, &tasks.StartRequest{ContainerID: id})
	}
	return created.GetPid(), err
}

// undo removes the container and the task of id as soon as containerd answers. If
// the executor is closed before, the next one removes them.
func (e *Executor) undo(id string) {
	for backoff := newBackoff(); ; {
		ctx, cancel := e.cleaning()
		err := e.clear(ctx, id)
		cancel()
		if err == nil {
			return
		}
		if !errdefs.IsUnavailable(err) || !e.reconnect(e.ctx, &backoff) {
			logging.L().WithError(err).WithField("plugin", id).Warn("container of a plugin was not removed")
			return
		}
	}
}
