package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cleanupTimeout bounds what should take milliseconds: ending and deleting
// what is left of a run.
const cleanupTimeout = 10 * time.Second

// found is what containerd knows about a task; nil if there is none.
type found struct{ *task.Process }

// task asks for the task of id.
func (e *Executor) task(id string) (found, error) {
	var response *tasks.GetResponse
	err := e.persist(func() (err error) {
		response, err = e.client.TaskService().Get(e.ctx, &tasks.GetRequest{ContainerID: id})
		return err
	})
	if isGone(err) {
		return found{}, nil
	}
	if err != nil {
		return found{}, native(err)
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

// createContainer makes the record that a task needs.
func (e *Executor) createContainer(id string, spec specs.Spec) error {
	opts := []containerd.NewContainerOpts{containerd.WithSpec(&spec)}
	if e.shim != "" {
		opts = append(opts, containerd.WithRuntime(e.shim, e.shimOpts))
	}
	_, err := e.client.NewContainer(e.ctx, id, opts...)
	return err
}

// clear ends and deletes what containerd has of id: it is the way to the
// start of every Create and from the end of every run.
func (e *Executor) clear(id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), cleanupTimeout)
	defer cancel()
	if err := e.persist(func() error { return e.deleteTask(ctx, id) }); err != nil {
		return fmt.Errorf("delete task: %w", native(err))
	}
	err := e.persist(func() error { return e.client.ContainerService().Delete(ctx, id) })
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete container: %w", native(err))
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

// native gives an answer of containerd the class that it means, and leaves
// out the words that say it has none.
func native(err error) error {
	if err == nil {
		return nil
	}
	err = errgrpc.ToNative(err)
	if errors.Is(err, context.DeadlineExceeded) {
		return unavailableError{fmt.Errorf("containerd does not answer: %w", err)}
	}
	if !errdefs.IsUnknown(err) {
		return err
	}
	return systemError{errors.New(strings.TrimSuffix(err.Error(), ": unknown"))}
}
