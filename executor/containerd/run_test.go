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
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// Whoever hears of an end finds everything about it said and cleared away,
// and may start the plugin again from within the report.
func TestAnEndIsReportedLast(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, id := t.TempDir(), newID()
	reported := make(chan error, 1)
	stdout, again := newOutput(), newOutput()
	var e *containerd.Executor
	rounds := 0
	e = d.newExecutor(root, handler(func(id string) {
		if rounds++; rounds == 2 {
			reported <- nil
			return
		}
		var err error
		if alive, notFound := e.IsRunning(id); alive || !errdefs.IsNotFound(notFound) {
			err = errors.New("the run still lives")
		}
		if code, _, ok := e.LastExit(id); code != 3 || !ok {
			err = errors.Join(err, errors.New("the code is not known"))
		}
		if got := strings.Count(stdout.String(), "\n"); got != 1000 {
			err = errors.Join(err, errors.New("output is missing"))
		}
		d.assertNothingLeft(root)
		reported <- errors.Join(err, e.Create(id, executortest.Spec(rootfs, "out=again"), again, newOutput()))
	}))
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "lines=1000", "exit=3"), stdout, newOutput()))
	assert.NilError(t, <-reported)
	assert.NilError(t, <-reported)
	assert.Equal(t, again.all(t), "again\n")
	assert.Equal(t, rounds, 2)
}

// A health check that somebody executes in a plugin is not the plugin.
func TestAnExecutedProcessEnds(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(exits, 1), newID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	spec := executortest.Spec(rootfs, "wait=")
	assert.NilError(t, e.Create(id, spec, newOutput(), newOutput()))

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
	// Somebody else may tell of it as well.
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: id, ProcessID: "check", ExitCode: 9}))
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.Equal(t, len(ended), 0)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
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
	ended, id := make(exits, 4), newID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), newOutput(), newOutput()))
	exit := libcontainerdtypes.EventInfo{ContainerID: id, ProcessID: id}
	// Early, of other kinds, of nobody: none of them is an end.
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventOOM, exit))
	assert.NilError(t, e.ProcessEvent("nobody", libcontainerdtypes.EventExit, libcontainerdtypes.EventInfo{ContainerID: "nobody", ProcessID: "nobody"}))
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	ended.await(t, id)
	assert.NilError(t, e.ProcessEvent(id, libcontainerdtypes.EventExit, exit))
	assert.NilError(t, e.Close())
	assert.Equal(t, len(ended), 0, "an end was reported twice")
}

func TestTheKernelKillsForMemory(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(exits, 1), newID()
	e := d.newExecutor(t.TempDir(), ended)
	defer e.Close()
	pull := trigger(t, rootfs, "go")
	spec := executortest.Spec(rootfs, "step=/go", "eat=256", "wait=")
	limit := int64(32 << 20)
	spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	assert.NilError(t, e.Create(id, spec, newOutput(), newOutput()))
	pull()
	ended.await(t, id)
	code, oomKilled, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Equal(t, code, 128+9)
	assert.Assert(t, oomKilled)
}

// Without a pid namespace a plugin's children outlive it, and hold its output
// open.
func TestAChildThatHoldsTheOutputDelaysLittle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, stdout, id := t.TempDir(), make(exits, 1), newOutput(), newID()
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
	assert.NilError(t, e.Create(id, spec, stdout, newOutput()))
	stdout.awaitText(t, "child\n")
	began := time.Now()
	assert.NilError(t, e.Signal(id, syscall.SIGTERM))
	ended.await(t, id)
	assert.Assert(t, time.Since(began) < 5*time.Second, "the report took %v", time.Since(began))
	assert.Equal(t, stdout.all(t), "child\n")
	d.assertNothingLeft(root)
}

func TestRefusals(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(exits, 1), newID()
	e := d.newExecutor(root, ended)
	defer e.Close()
	create := func(args ...string) error {
		stdout, stderr := newOutput(), newOutput()
		spec := executortest.Spec(rootfs)
		spec.Process.Args = args
		err := e.Create(id, spec, stdout, stderr)
		if err != nil {
			assert.Equal(t, stdout.all(t)+stderr.all(t), "")
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
	_, err = e.Restore(id, newOutput(), newOutput())
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.await(t, id)
	assert.Assert(t, errdefs.IsNotFound(e.Signal(id, syscall.SIGTERM)))

	assert.NilError(t, e.Close())
	assert.NilError(t, e.Close())
	assert.Assert(t, errdefs.IsUnavailable(create("/probe")))
}

// A daemon may start before its containerd, and end without ever seeing it.
func TestNoContainerd(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	cli, err := client.New(root+"/none.sock", client.WithTimeout(10*time.Millisecond))
	assert.NilError(t, err)
	defer cli.Close()
	e, err := containerd.New(t.Context(), root+"/state", cli, namespace, make(exits), shim, nil)
	assert.NilError(t, err)
	defer e.Close()
	e.GiveUpAfter(10 * time.Millisecond)
	e.LimitCreate(10 * time.Millisecond)
	for name, call := range callsOf(e, "p", specs.Spec{Root: &specs.Root{}}) {
		err := call()
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "containerd does not answer: it did not answer within 10ms")
	}
	assert.NilError(t, e.Close())
	for name, call := range callsOf(e, "p", specs.Spec{Root: &specs.Root{}}) {
		err := call()
		assert.Assert(t, errdefs.IsUnavailable(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "executor is closed")
	}
}

// callsOf are the calls of e that need containerd.
func callsOf(e *containerd.Executor, id string, spec specs.Spec) map[string]func() error {
	return map[string]func() error{
		"Create": func() error { return e.Create(id, spec, newOutput(), newOutput()) },
		"Restore": func() error {
			_, err := e.Restore(id, newOutput(), newOutput())
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
	_, err := containerd.New(context.Background(), file, nil, namespace, make(exits), shim, nil)
	assert.ErrorContains(t, err, file)
}

// What a crash leaves at each step of Create is removed by Restore, and no
// obstacle to Create.
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
			root, ended := t.TempDir(), make(exits, 1)
			e := d.newExecutor(root, ended)
			defer e.Close()
			id := newID()
			leave(id)
			alive, err := e.IsRunning(id)
			assert.Assert(t, err == nil || errdefs.IsNotFound(err), "%v", err)
			assert.Assert(t, !alive)
			runs, err := e.Runs()
			assert.NilError(t, err)
			assert.Equal(t, len(runs), 0, "they are not this executor's: %q", runs)
			alive, err = e.Restore(id, newOutput(), newOutput())
			assert.NilError(t, err)
			assert.Assert(t, !alive)
			d.assertNothingLeft(root)

			leave(id)
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs), newOutput(), newOutput()))
			ended.await(t, id)
			d.assertNothingLeft(root)
		})
	}
}

// Another executor's pipes may have other names: docker's have.
func TestRestoreFindsTheTasksOwnPipes(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, ctx := t.TempDir(), make(exits, 1), newID(), inNamespace(t)
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
	stdout := newOutput()
	alive, err := e.Restore(id, stdout, newOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	stdout.awaitText(t, "meanwhile\n")
	assert.NilError(t, e.Signal(id, syscall.SIGTERM))
	ended.await(t, id)
	assert.Equal(t, stdout.all(t), "meanwhile\n")
	d.assertNothingLeft(root)
}

// blocked is a stream whose writer never comes back, until it is let go.
type blocked struct{ letGo chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.letGo
	return len(p), nil
}

func (b blocked) Close() error { return nil }

// Writers are other people's code. One that blocks keeps the output, but not
// the end of the run.
func TestABlockedWriterDelaysLittle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	d := startDaemon(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, stuck := t.TempDir(), make(exits, 1), newID(), blocked{make(chan struct{})}
	e := d.newExecutor(root, ended)
	defer e.Close()
	defer close(stuck.letGo)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=a", "err=b", "exit=4"), stuck, stuck))
	ended.await(t, id)
	code, _, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Equal(t, code, 4)
	d.assertNothingLeft(root)
}
