package containerd

import (
	"errors"
	"fmt"
	"io"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Create starts the process of plugin id from spec, whose rootfs is a
// directory, and returns once that was started. It takes over both streams
// and closes them when the run has ended, or at once if Create fails.
//
// A container or task of id that a crashed daemon left is replaced, also if
// it lives; a run that this executor knows to live is an error of class
// conflict. What containerd or the runtime refuse is an error that says why;
// it is of class unavailable if containerd can't be reached, or went down on
// the way. A failed Create
// leaves nothing behind.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	leave, err := e.enter(id)
	if err == nil {
		defer leave()
		var r *run
		if r, err = e.create(id, spec); err == nil {
			r.begin(stdout, stderr)
			return nil
		}
	}
	stdout.Close()
	stderr.Close()
	return fmt.Errorf("start plugin %s: %w", id, err)
}

// create returns a run that has started.
func (e *Executor) create(id string, spec specs.Spec) (*run, error) {
	if err := e.clear(id); err != nil {
		return nil, err
	}
	if err := e.createContainer(id, spec); err != nil {
		return nil, errors.Join(native(err), e.clear(id))
	}
	r, err := e.startTask(id)
	if err != nil {
		return nil, errors.Join(native(err), e.clear(id))
	}
	return r, nil
}

func (e *Executor) startTask(id string) (*run, error) {
	p := e.pipes(id)
	s, err := p.open()
	if err != nil {
		return nil, err
	}
	service := e.client.TaskService()
	created, err := service.Create(e.ctx, &tasks.CreateTaskRequest{ContainerID: id, Stdout: p.stdout, Stderr: p.stderr})
	if err == nil {
		_, err = service.Start(e.ctx, &tasks.StartRequest{ContainerID: id})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.settle()
	return e.newRun(id, created.Pid, s), nil
}
