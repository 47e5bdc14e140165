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

// Create starts the process of plugin id from spec, whose rootfs is a
// directory, and returns once that was started. It takes over both streams
// and closes them when the run has ended, or at once if Create fails.
//
// A container or task of id that a crashed daemon left is replaced, also if
// it lives; a run that this executor knows to live is an error of class
// conflict. What containerd or the runtime refuse is an error that says why.
// It is of class unavailable if containerd can't be reached, went down on the
// way, or has not answered within a minute. Close ends the wait at once.
//
// A failed Create leaves nothing behind. If containerd does not answer, what it
// makes of the start is removed once it answers again; until then other calls
// of Create and Restore for id are unavailable.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	_, err := e.perform(id, e.limits.create, stdout, stderr, func(ctx context.Context) attend.Started[*run] {
		return e.create(ctx, id, spec)
	})
	if err != nil {
		return fmt.Errorf("start plugin %s: %w", id, err)
	}
	return nil
}

// create returns a run that has started.
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

// start makes a container and its task. Its requests to containerd are not
// cancelled when ctx ends: what came of one would not be known, and could not
// be undone. Nothing is requested any more after that.
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
	s.settle()
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

// undo removes what is left of id as soon as containerd answers. The end of the
// executor leaves it to the next one.
func (e *Executor) undo(id string) {
	for backoff := newBackoff(); ; {
		ctx, cancel := e.cleaning()
		err := e.clear(ctx, id)
		cancel()
		if err == nil {
			return
		}
		if !errdefs.IsUnavailable(err) || !e.reconnect(e.ctx, &backoff) {
			logging.L().WithError(err).WithField("plugin", id).Warn("what a plugin left was not removed")
			return
		}
	}
}
