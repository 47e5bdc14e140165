// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	libcontainerdtypes "github.com/docker/docker/libcontainerd/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// When the exit handler is called, the end is recorded and the run is removed. The
// handler can start the plugin again.
func TestAnEndIsReportedLast(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id := t.TempDir(), attendtest.NewID()
	reported := make(chan error, 1)
	stdout, again := attendtest.NewOutput(), attendtest.NewOutput()
	var e *containerd.Executor
	rounds := 0
	e = d.newExecutor(root, handler(func(id string) {
		if rounds++; rounds == 2 {
			reported <- nil
			return
		}
		var err error
		if alive, notFound := e.IsRunning(id); alive || !errdefs.IsNotFound(notFound) {
			err = errors.New("the run is still alive")
		}
		if code, _, ok := e.LastExit(id); code != 3 || !ok {
			err = errors.Join(err, errors.New("the exit code is unknown"))
		}
		if got := strings.Count(stdout.String(), "\n"); got != 1000 {
			err = errors.Join(err, errors.New("output is missing"))
		}
		d.assertNothingLeft(root)
		reported <- errors.Join(err, e.Create(id, executortest.Spec(rootfs, "out=again"), again, attendtest.NewOutput()))
	}))
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "lines=1000", "exit=3"), stdout, attendtest.NewOutput()))
	assert.NilError(t, <-reported)
	assert.NilError(t, <-reported)
	assert.Equal(t, again.All(t), "again\n")
	assert.Equal(t, rounds, 2)
}

// The exit of a process executed in a plugin's container is not the plugin's end.
func TestAnExecutedProcessEnds(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(attendtest.Exits, 1), attendtest.NewID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	spec := executortest.Spec(rootfs, "wait=")
	assert.NilError(t, e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput()))

	ctx := inNamespace(t)
	container, err := d.client.LoadContainer(ctx, id)
	assert.NilError(t, err)
	task, err := container.Task(ctx, nil)
	assert.NilError(t, err)
	execute := *spec.Process
	execute.Args = []string{"/probe", "exit=9"}
	process, err := task.Exec(ctx, "check", &execute, cio.NullIO)
	assert.NilError(t, err)
	waited, err := process.Wait(ctx)
	assert.NilError(t, err)
	assert.NilError(t, process.Start(ctx))
	status := <-waited
	assert.Equal(t, status.ExitCode(), uint32(9))
	// Another listener can report it as well.
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: id, ProcessID: "check", ExitCode: 9}))
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.Equal(t, len(ended), 0)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	code, oomKilled, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Assert(t, !oomKilled)
	assert.Equal(t, code, 128+9)
	assert.Equal(t, len(ended), 0, "an end was reported twice")
}

func TestProcessEvent(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(attendtest.Exits, 4), attendtest.NewID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	exit := libcontainerdtypes.EventInfo{ContainerID: id, ProcessID: id}
	// Early events, events of other kinds and of unknown plugins are not ends.
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventOOM, exit))
	assert.NilError(t, e.ProcessEvent("unknown", libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: "unknown", ProcessID: "unknown"}))
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	ended.Await(t, id)
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	assert.NilError(t, e.Close())
	assert.Equal(t, len(ended), 0, "an end was reported twice")
}

func TestTheKernelKillsForMemory(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(attendtest.Exits, 1), attendtest.NewID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	pull := attendtest.Trigger(t, rootfs, "go")
	spec := executortest.Spec(rootfs, "step=/go", "eat=256", "wait=")
	limit := int64(32 << 20)
	spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	assert.NilError(t, e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput()))
	pull()
	ended.Await(t, id)
	code, oomKilled, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Equal(t, code, 128+9)
	assert.Assert(t, oomKilled)
}

// Without a PID namespace a plugin's children outlive it and hold its output open.
func TestAChildThatHoldsTheOutputDelaysLittle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, stdout, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewOutput(), attendtest.NewID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	spec := executortest.Spec(rootfs, "spawn=ignore=TERM,out=child,wait=", "wait=")
	var kept []specs.LinuxNamespace
	for _, namespace := range spec.Linux.Namespaces {
		if namespace.Type != specs.PIDNamespace {
			kept = append(kept, namespace)
		}
	}
	spec.Linux.Namespaces = kept
	assert.NilError(t, e.Create(id, spec, stdout, attendtest.NewOutput()))
	stdout.AwaitText(t, "child\n")
	began := time.Now()
	assert.NilError(t, e.Signal(id, syscall.SIGTERM))
	ended.Await(t, id)
	assert.Assert(t, time.Since(began) < 5*time.Second, "the report took %v", time.Since(began))
	assert.Equal(t, stdout.All(t), "child\n")
	d.assertNothingLeft(root)
}

func TestRefusals(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	create := func(args ...string) error {
		stdout, stderr := attendtest.NewOutput(), attendtest.NewOutput()
		spec := executortest.Spec(rootfs)
		spec.Process.Args = args
		err := e.Create(id, spec, stdout, stderr)
		if err != nil {
			assert.Equal(t, stdout.All(t)+stderr.All(t), "")
		}
		return err
	}

	err := create("/nope")
	assert.ErrorContains(t, err, `exec: "/nope": stat /nope: no such file or directory`)
	assert.Assert(t, !strings.HasSuffix(err.Error(), "unknown"), "%v", err)
	assert.Assert(t, errdefs.IsInternal(err), "%v", err)
	d.assertNothingLeft(root)

	assert.NilError(t, create("/probe", "wait="))
	assert.Assert(t, errdefs.IsConflict(create("/probe")))
	_, err = e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assert.Assert(t, errdefs.IsNotFound(e.Signal(id, syscall.SIGTERM)))

	assert.NilError(t, e.Close())
	assert.NilError(t, e.Close())
	assert.Assert(t, errdefs.IsUnavailable(create("/probe")))
}

// A daemon can start before its containerd, and end without ever reaching it.
func TestNoContainerd(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	cli, err := client.New(root+"/none.sock", client.WithTimeout(10*time.Millisecond))
	assert.NilError(t, err)
	defer cli.Close()
	e, err := containerd.New(t.Context(), root+"/state", cli, namespace, make(attendtest.Exits), shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	e.GiveUpAfter(10 * time.Millisecond)
	e.LimitCreate(10 * time.Millisecond)
	for name, call := range callsOf(e, "p", specs.Spec{Root: &specs.Root{}}) {
		err := call()
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "containerd does not answer: no answer within 10ms")
	}
	assert.NilError(t, e.Close())
	for name, call := range callsOf(e, "p", specs.Spec{Root: &specs.Root{}}) {
		err := call()
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "executor is closed")
	}
}

// callsOf returns the calls of e that need containerd.
func callsOf(e *containerd.Executor, id string, spec specs.Spec) map[string]func() error {
	return map[string]func() error{
		"Create": func() error { return e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput()) },
		"Restore": func() error {
			_, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
			return err
		},
		"IsRunning": func() error {
			_, err := e.IsRunning(id)
			return err
		},
		"Signal": func() error { return e.Signal(id, syscall.SIGTERM) },
		"Runs": func() error {
			_, err := e.Runs()
			return err
		},
	}
}

func TestNewNeedsItsDirectory(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	file := t.TempDir() + "/file"
	assert.NilError(t, os.WriteFile(file, nil, 0o600))
	_, err := containerd.New(context.Background(), file, nil, namespace, make(attendtest.Exits), shim, nil)
	assert.ErrorContains(t, err, file)
}

// Restore removes what a crash at each step of Create leaves, and Create replaces
// it.
func TestAnUnfinishedCreateIsUndone(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ctx := inNamespace(t)
	stages := map[string]func(id string){
		"a container": func(id string) {
			spec := executortest.Spec(rootfs, "wait=")
			_, err := d.client.NewContainer(ctx, id, client.WithSpec(&spec), client.WithRuntime(shim, nil))
			assert.NilError(t, err)
		},
		"a task that was not started": func(id string) {
			spec := executortest.Spec(rootfs, "wait=")
			container, err := d.client.NewContainer(ctx, id, client.WithSpec(&spec), client.WithRuntime(shim, nil))
			assert.NilError(t, err)
			_, err = container.NewTask(ctx, cio.NullIO)
			assert.NilError(t, err)
		},
	}
	for name, leave := range stages {
		t.Run(name, func(t *testing.T) {
			root, ended := t.TempDir(), make(attendtest.Exits, 1)
			e := d.newExecutor(root, ended)
			defer e.Close()
			id := attendtest.NewID()
			leave(id)
			alive, err := e.IsRunning(id)
			assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
			assert.Assert(t, !alive)
			runs, err := e.Runs()
			assert.NilError(t, err)
			assert.Equal(t, len(runs), 0, "runs of another executor are listed: %q", runs)
			alive, err = e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
			assert.NilError(t, err)
			assert.Assert(t, !alive)
			d.assertNothingLeft(root)

			leave(id)
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
			ended.Await(t, id)
			d.assertNothingLeft(root)
		})
	}
}

// Pipes of other executors can have other names, like docker's.
func TestRestoreFindsTheTasksOwnPipes(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, ctx := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), inNamespace(t)
	spec := executortest.Spec(rootfs, "out=meanwhile", "wait=")
	container, err := d.client.NewContainer(ctx, id, client.WithSpec(&spec), client.WithRuntime(shim, nil))
	assert.NilError(t, err)
	directory := t.TempDir()
	set := cio.NewFIFOSet(cio.Config{Stdout: directory + "/theirs-out", Stderr: directory + "/theirs-err"}, nil)
	theirs, err := cio.NewDirectIO(ctx, set)
	assert.NilError(t, err)
	task, err := container.NewTask(ctx, func(string) (cio.IO, error) { return theirs, nil })
	assert.NilError(t, err)
	theirs.Cancel()
	theirs.Close()
	_, err = d.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: task.ID()})
	assert.NilError(t, err)

	e := d.newExecutor(root, ended)
	defer e.Close()
	stdout := attendtest.NewOutput()
	alive, err := e.Restore(id, stdout, attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	stdout.AwaitText(t, "meanwhile\n")
	assert.NilError(t, e.Signal(id, syscall.SIGTERM))
	ended.Await(t, id)
	assert.Equal(t, stdout.All(t), "meanwhile\n")
	d.assertNothingLeft(root)
}

// blocked is a stream with a Write that blocks until the test releases it.
type blocked struct{ letGo chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.letGo
	return len(p), nil
}

func (b blocked) Close() error { return nil }

// A writer that blocks, which is the caller's code, delays output but not the end
// of the run.
func TestABlockedWriterDelaysLittle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, stuck := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), blocked{make(chan struct{})}
	e := d.newExecutor(root, ended)
	defer e.Close()
	defer close(stuck.letGo)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=a", "err=b", "exit=4"), stuck, stuck))
	ended.Await(t, id)
	code, _, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Equal(t, code, 4)
	d.assertNothingLeft(root)
}
