// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// When an exit is reported, all output was delivered and all files were deleted. The
// handler may start the plugin again.
func TestAnEndIsReportedLast(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id := t.TempDir(), attendtest.NewID()
	reported := make(chan error, 1)
	stdout, again := attendtest.NewOutput(), attendtest.NewOutput()
	var e *runc.Executor
	rounds := 0
	e = newExecutor(t, "runc", root, handler(func(id string) {
		if rounds++; rounds == 1 {
			reported <- func() error {
				if !stdout.IsClosed() {
					return errors.New("stdout is still open")
				}
				if alive, err := e.IsRunning(id); alive || err != nil {
					return errors.Join(errors.New("the run still lives"), err)
				}
				if code, _, ok := e.LastExit(id); code != 3 || !ok {
					return errors.New("the code is not known")
				}
				assertNothingLeft(t, root)
				return e.Create(id, executortest.Spec(rootfs, "out=again"), again, attendtest.NewOutput())
			}()
		} else {
			reported <- nil
		}
	}))
	defer e.Close()

	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "lines=1000", "exit=3"), stdout, attendtest.NewOutput()))
	assert.NilError(t, <-reported)
	assert.Equal(t, strings.Count(stdout.All(t), "\n"), 1000)
	assert.NilError(t, <-reported)
	assert.Equal(t, again.All(t), "again\n")
	assert.Equal(t, rounds, 2)
}

// A run can end before the executor has looked at its process.
func TestShortRuns(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended := t.TempDir(), make(attendtest.Exits, 1)
	e := newExecutor(t, "crun", root, ended)
	defer e.Close()
	id := attendtest.NewID()
	for range 40 {
		stderr := attendtest.NewOutput()
		assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "err=short", "exit=7"), attendtest.NewOutput(), stderr))
		ended.Await(t, id)
		assert.Equal(t, stderr.All(t), "short\n")
		code, oomKilled, ok := e.LastExit(id)
		assert.Assert(t, ok)
		assert.Assert(t, !oomKilled)
		assert.Equal(t, code, 7)
	}
	assert.Equal(t, len(ended), 0, "an end was reported twice")
	assertNothingLeft(t, root)
}

func TestOutputIsDeliveredLineByLine(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	ended, stdout, id := make(attendtest.Exits, 1), attendtest.NewOutput(), attendtest.NewID()
	e := newExecutor(t, "runc", t.TempDir(), ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "raw=a", "raw=b", "out=c", "lines=2", "raw=d"), stdout, attendtest.NewOutput()))
	ended.Await(t, id)
	assert.Equal(t, stdout.All(t), "abc\nline 1\nline 2\nd")
	assert.DeepEqual(t, stdout.Writes(), []string{"abc\n", "line 1\n", "line 2\n", "d"})
}

// Without a pid namespace a plugin's children outlive it, and hold its output
// open; only the runtime can know of them.
func TestAChildThatHoldsTheOutputDelaysNothing(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root, ended, stdout, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewOutput(), attendtest.NewID()
			e := newExecutor(t, runtime, root, ended)
			defer e.Close()
			alive := lifeline(t, rootfs, "alive-"+runtime)
			spec := executortest.Spec(rootfs, "spawn=ignore=TERM,hold=/alive-"+runtime+",out=child,wait=", "wait=")
			dropNamespace(&spec, specs.PIDNamespace)
			assert.NilError(t, e.Create(id, spec, stdout, attendtest.NewOutput()))
			stdout.AwaitText(t, "child\n")

			began := time.Now()
			assert.NilError(t, e.Signal(id, syscall.SIGTERM))
			ended.Await(t, id)
			assert.Assert(t, time.Since(began) < 3*time.Second, "the report took %v", time.Since(began))
			assert.Equal(t, stdout.All(t), "child\n")
			assertNothingLeft(t, root)
			awaitEnd(t, alive)
		})
	}
}

func dropNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) {
	var kept []specs.LinuxNamespace
	for _, namespace := range spec.Linux.Namespaces {
		if namespace.Type != kind {
			kept = append(kept, namespace)
		}
	}
	spec.Linux.Namespaces = kept
}

func TestTheKernelKillsForMemory(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	ended := make(attendtest.Exits, 1)
	e := newExecutor(t, "runc", t.TempDir(), ended)
	defer e.Close()
	for _, steps := range [][]string{{"eat=256", "wait="}, {"step=/go", "eat=256", "wait="}} {
		id, pull := attendtest.NewID(), attendtest.Trigger(t, rootfs, "go")
		spec := executortest.Spec(rootfs, steps...)
		limit := int64(32 << 20)
		spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		assert.NilError(t, e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput()))
		pull()
		ended.Await(t, id)
		code, oomKilled, ok := e.LastExit(id)
		assert.Assert(t, ok)
		assert.Equal(t, code, 128+9)
		assert.Assert(t, oomKilled, "steps %q", steps)
		assert.NilError(t, os.Remove(filepath.Join(rootfs, "go")))
	}
}

// A SIGKILL that is not from the OOM killer is not reported as one.
func TestAKillIsNotAnOOMKill(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	ended := make(attendtest.Exits, 1)
	e := newExecutor(t, "runc", t.TempDir(), ended)
	defer e.Close()
	kills := map[string]func(id string, pid int) error{
		"by us":              func(id string, _ int) error { return e.Signal(id, syscall.SIGKILL) },
		"by another program": func(_ string, pid int) error { return syscall.Kill(pid, syscall.SIGKILL) },
	}
	for name, kill := range kills {
		t.Run(name, func(t *testing.T) {
			id := attendtest.NewID()
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
			pid, ok := e.Pid(id)
			assert.Assert(t, ok)
			assert.NilError(t, kill(id, pid))
			ended.Await(t, id)
			code, oomKilled, ok := e.LastExit(id)
			assert.Assert(t, ok)
			assert.Equal(t, code, 128+9)
			assert.Assert(t, !oomKilled)
		})
	}
}

// A plugin survives the kill of its runtime process. Its exit is still noticed, and
// its files are deleted.
func TestARunThatLostItsRuntime(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended, stdout, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewOutput(), attendtest.NewID()
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=up", "wait="), stdout, attendtest.NewOutput()))
	stdout.AwaitText(t, "up\n")
	pid, ok := e.Pid(id)
	assert.Assert(t, ok)
	killProcess(t, testenv.ParentOf(t, pid))
	stdout.All(t)
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assertNothingLeft(t, root)
	if code, _, ok := e.LastExit(id); ok {
		assert.Equal(t, code, 128+9)
	}
}

func TestRefusals(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	ended, id := make(attendtest.Exits, 1), attendtest.NewID()
	e := newExecutor(t, "runc", t.TempDir(), ended)
	defer e.Close()
	create := func(id string) error {
		stdout, stderr := attendtest.NewOutput(), attendtest.NewOutput()
		err := e.Create(id, executortest.Spec(rootfs, "wait="), stdout, stderr)
		if err != nil {
			assert.Equal(t, stdout.All(t)+stderr.All(t), "")
		}
		return err
	}
	for _, bad := range []string{"", ".", "..", "a/b", "/"} {
		assert.Assert(t, errdefs.IsInvalidArgument(create(bad)), "Create(%q)", bad)
		_, err := e.Restore(bad, attendtest.NewOutput(), attendtest.NewOutput())
		assert.Assert(t, errdefs.IsInvalidArgument(err), "Restore(%q)", bad)
		alive, err := e.IsRunning(bad)
		assert.NilError(t, err)
		assert.Assert(t, !alive)
		assert.Assert(t, errdefs.IsNotFound(e.Signal(bad, syscall.SIGTERM)), "Signal(%q)", bad)
	}

	assert.NilError(t, create(id))
	assert.Assert(t, errdefs.IsConflict(create(id)))
	_, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.Assert(t, errdefs.IsConflict(err), "%v", err)
	alive, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Assert(t, alive)

	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assert.Assert(t, errdefs.IsNotFound(e.Signal(id, syscall.SIGTERM)))
	assert.NilError(t, e.Close())
	assert.NilError(t, e.Close())
	assert.Assert(t, errdefs.IsUnavailable(create(id)))
}

func TestARefusalSaysWhatTheRuntimeSaid(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	e := newExecutor(t, "runc", root, make(attendtest.Exits))
	defer e.Close()
	spec := executortest.Spec(rootfs)
	spec.Process.Args = []string{"/nope"}
	err := e.Create("p", spec, attendtest.NewOutput(), attendtest.NewOutput())
	assert.Error(t, err, `start plugin p: runc: unable to start container process: exec: "/nope": stat /nope: no such file or directory`)
	var refused *runc.RuntimeError
	assert.Assert(t, errors.As(err, &refused))
	assert.Equal(t, refused.Runtime, "runc")
	assert.Assert(t, !strings.HasPrefix(refused.Message, "runc"))
	assert.Assert(t, errdefs.IsInternal(err))
	assertNothingLeft(t, root)
}

func TestOddRuntimes(t *testing.T) {
	tests := []struct {
		name   string
		script string
		want   string
	}{
		{"message on stderr", "echo no such flag: --bundle >&2; exit 7", "no such flag: --bundle"},
		{"no message", "exit 7", "exit status 7"},
		{"no action", "exit 0", "ended with code 0 before the plugin started"},
		{"killed", "kill -9 $$", "signal: killed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root := t.TempDir()
			e, err := runc.New(root, make(attendtest.Exits), runc.WithRuntime(script(t, test.script)))
			assert.NilError(t, err)
			defer e.Close()
			err = e.Create("p", specs.Spec{}, attendtest.NewOutput(), attendtest.NewOutput())
			assert.ErrorContains(t, err, test.want)
			assertNothingLeft(t, root)
		})
	}
}

func script(t testing.TB, commands string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "runtime")
	assert.NilError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+commands+"\n"), 0o700))
	return path
}

func TestNewRefuses(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	_, err := runc.New(t.TempDir(), make(attendtest.Exits), runc.WithRuntime("no-such-runtime"))
	assert.ErrorContains(t, err, "no-such-runtime")
	assert.Assert(t, errdefs.IsUnavailable(err))

	file := filepath.Join(t.TempDir(), "file")
	assert.NilError(t, os.WriteFile(file, nil, 0o600))
	_, err = runc.New(file, make(attendtest.Exits))
	assert.ErrorContains(t, err, file)
}

// Close does not wait for a runtime that hangs.
func TestCloseEndsACreateInProgress(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	root := t.TempDir()
	begun := filepath.Join(t.TempDir(), "begun")
	assert.NilError(t, syscall.Mkfifo(begun, 0o600))
	e, err := runc.New(root, make(attendtest.Exits), runc.WithRuntime(script(t, "echo > "+begun+"; exec sleep 1000")))
	assert.NilError(t, err)
	created := make(chan error, 1)
	go func() { created <- e.Create("p", specs.Spec{}, attendtest.NewOutput(), attendtest.NewOutput()) }()
	_, err = os.ReadFile(begun)
	assert.NilError(t, err)

	assert.NilError(t, e.Close())
	err = <-created
	assert.Assert(t, errdefs.IsUnavailable(err), "%v", err)
	assertNothingLeft(t, root)
}

func TestRuntimeArgs(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	e, err := runc.New(root, ended, runc.WithRuntimeArgs("--debug"))
	assert.NilError(t, err)
	defer e.Close()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
	log, err := os.ReadFile(filepath.Join(root, "bundles", id, "log.json"))
	assert.NilError(t, err)
	assert.Assert(t, strings.Contains(string(log), `"level":"debug"`), "%s", log)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// blocked is a stream whose writer never comes back, until it is let go.
type blocked struct{ letGo chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.letGo
	return len(p), nil
}

func (b blocked) Close() error { return nil }

// Writers are code of the caller. A writer that blocks delays the output, but not
// the exit report.
func TestABlockedWriterDelaysLittle(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id, stuck := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID(), blocked{make(chan struct{})}
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	defer close(stuck.letGo)
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=a", "err=b", "exit=4"), stuck, stuck))
	ended.Await(t, id)
	code, _, ok := e.LastExit(id)
	assert.Assert(t, ok)
	assert.Equal(t, code, 4)
	assertNothingLeft(t, root)
}
