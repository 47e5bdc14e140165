// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/internal/class"
)

// rootLabel is the label of containers with the directory of their executor,
// because daemons can share a namespace.
const rootLabel = "com.github.dovetailhq.plugin.root"

// taskState is the state of a task in containerd; Process is nil if there is none.
type taskState struct{ *task.Process }

// task returns the state of the task of id. The error is of class Unavailable if
// the state is unknown because the task's shim does not answer.
func (e *Executor) task(ctx context.Context, id string) (taskState, error) {
	var response *tasks.GetResponse
	err := e.retryLost(ctx, func() (err error) {
		response, err = e.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
		return err
	})
	if isGone(err) {
		return taskState{}, nil
	}
	if err != nil {
		return taskState{}, native(ctx, err)
	}
	if response.Process.GetStatus() == task.Status_UNKNOWN {
		return taskState{}, class.Unavailable(errors.New("task state is unknown: its shim does not answer"))
	}
	return taskState{response.Process}, nil
}

// lives reports whether the task was started and has not ended.
func (f taskState) lives() bool {
	if f.Process == nil {
		return false
	}
	switch f.Status {
	case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
		return true
	}
	return false
}

// createContainer makes the container record that a task needs. Unlike NewContainer
// of the client it takes no lease, because there is no content or snapshot to
// protect.
func (e *Executor) createContainer(id string, spec specs.Spec) error {
	runtime, err := e.runtime()
	if err != nil {
		return err
	}
	encoded, err := typeurl.MarshalAny(&spec)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	_, err = e.client.ContainerService().Create(e.ctx, containers.Container{
		ID:      id,
		Labels:  map[string]string{rootLabel: e.root},
		Runtime: runtime,
		Spec:    encoded,
	})
	return err
}

// runtime returns the shim passed to New, or the namespace's default.
func (e *Executor) runtime() (runtime containers.RuntimeInfo, err error) {
	if e.shim == "" {
		label, err := e.client.GetLabel(e.ctx, defaults.DefaultRuntimeNSLabel)
		return containers.RuntimeInfo{Name: cmp.Or(label, defaults.DefaultRuntime)}, err
	}
	runtime.Name = e.shim
	if e.shimOpts != nil {
		if runtime.Options, err = typeurl.MarshalAny(e.shimOpts); err != nil {
			return runtime, fmt.Errorf("encode options of shim %s: %w", e.shim, err)
		}
	}
	return runtime, nil
}

// clear kills and deletes the task of id, and deletes the container and the pipes.
// It runs at the beginning of every Create and at the end of every run.
func (e *Executor) clear(ctx context.Context, id string) error {
	if err := e.retryLost(ctx, func() error { return e.deleteTask(ctx, id) }); err != nil {
		return fmt.Errorf("delete task: %w", native(ctx, err))
	}
	err := e.retryLost(ctx, func() error { return e.client.ContainerService().Delete(ctx, id) })
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete container: %w", native(ctx, err))
	}
	return e.pipes(id).remove()
}

// deleteTask deletes the task of id, and kills it if it is alive. The shim delivers
// the last output before deleteTask returns.
func (e *Executor) deleteTask(ctx context.Context, id string) error {
	service := e.client.TaskService()
	_, err := service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err == nil || isGone(err) {
		return nil
	}
	// All, because the container can have other processes besides its init.
	_, err = service.Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(syscall.SIGKILL), All: true})
	if err != nil && !isGone(err) {
		return err
	}
	if _, err := service.Wait(ctx, &tasks.WaitRequest{ContainerID: id}); err != nil && !isGone(err) {
		return err
	}
	_, err = service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if isGone(err) {
		return nil
	}
	return err
}

func isGone(err error) bool { return err != nil && errdefs.IsNotFound(errgrpc.ToNative(err)) }

// native returns the error of a call under ctx with its class. It removes the
// suffix by which gRPC marks an error without a class.
func native(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), attend.ErrClosed) {
		return class.Unavailable(attend.ErrClosed)
	}
	if ctx.Err() != nil {
		return class.Unavailable(fmt.Errorf("containerd does not answer: %w", context.Cause(ctx)))
	}
	err = errgrpc.ToNative(err)
	// Containerd gets the deadline of a request, and may report its end first.
	if errdefs.IsDeadlineExceeded(err) {
		return class.Unavailable(fmt.Errorf("containerd does not answer: %w", err))
	}
	if !errdefs.IsUnknown(err) {
		return err
	}
	return class.System(errors.New(strings.TrimSuffix(err.Error(), ": unknown")))
}
