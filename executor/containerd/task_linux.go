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
)

// rootLabel marks containers with the directory of the executor that made
// them: daemons may share a namespace.
const rootLabel = "com.github.dovetailhq.plugin.root"

// found is what containerd knows about a task; nil if there is none.
type found struct{ *task.Process }

// task asks for the task of id. That its state is unknown, because its shim
// does not answer, is an error of class unavailable.
func (e *Executor) task(ctx context.Context, id string) (found, error) {
	var response *tasks.GetResponse
	err := e.persist(ctx, func() (err error) {
		response, err = e.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
		return err
	})
	if isGone(err) {
		return found{}, nil
	}
	if err != nil {
		return found{}, native(ctx, err)
	}
	if response.Process.GetStatus() == task.Status_UNKNOWN {
		return found{}, unavailableError{errors.New("the state of its task is unknown: the shim does not answer")}
	}
	return found{response.Process}, nil
}

// lives reports whether the task was started and has not ended.
func (f found) lives() bool {
	if f.Process == nil {
		return false
	}
	switch f.Status {
	case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
		return true
	}
	return false
}

// createContainer makes the record that a task needs. It needs no lease, which
// the client's own way of making a container takes out: there is no content
// and no snapshot to protect.
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

// runtime names the shim: that of New, or the namespace's default.
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

// clear ends and deletes what containerd has of id: it is the way to the
// start of every Create and from the end of every run.
func (e *Executor) clear(ctx context.Context, id string) error {
	if err := e.persist(ctx, func() error { return e.deleteTask(ctx, id) }); err != nil {
		return fmt.Errorf("delete task: %w", native(ctx, err))
	}
	err := e.persist(ctx, func() error { return e.client.ContainerService().Delete(ctx, id) })
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete container: %w", native(ctx, err))
	}
	return e.pipes(id).remove()
}

// deleteTask deletes the task of id, which it ends if it lives. The shim
// hands on its last output before the call returns.
func (e *Executor) deleteTask(ctx context.Context, id string) error {
	service := e.client.TaskService()
	_, err := service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err == nil || isGone(err) {
		return nil
	}
	// All, for the container's init need not be the only one in it.
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

// native gives an answer of containerd to a call under ctx the class that it
// means, and leaves out the words that say it has none.
func native(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), attend.ErrClosed) {
		return unavailableError{attend.ErrClosed}
	}
	if ctx.Err() != nil {
		return unavailableError{fmt.Errorf("containerd does not answer: %w", context.Cause(ctx))}
	}
	err = errgrpc.ToNative(err)
	if !errdefs.IsUnknown(err) {
		return err
	}
	return systemError{errors.New(strings.TrimSuffix(err.Error(), ": unknown"))}
}
