// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/dirlock"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// clearings are the ways in which a directory loses what it holds.
var clearings = map[string]func(t testing.TB, root string){
	"all below it": func(t testing.TB, root string) {
		for _, directory := range []string{"bundles", "runtime"} {
			assert.NilError(t, os.RemoveAll(filepath.Join(root, directory)))
		}
	},
	"itself": func(t testing.TB, root string) { assert.NilError(t, os.RemoveAll(root)) },
	"made again": func(t testing.TB, root string) {
		assert.NilError(t, os.RemoveAll(root))
		assert.NilError(t, os.Mkdir(root, 0o700))
	},
	"records": func(t testing.TB, root string) {
		records, err := filepath.Glob(filepath.Join(root, "bundles", "*"))
		assert.NilError(t, err)
		for _, record := range records {
			assert.NilError(t, os.RemoveAll(record))
		}
	},
}

// The directory is cleared and the daemon crashes. The next one finds what
// runs, reads its output and ends it.
func TestARunWithoutRecordIsRestored(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	for _, runtime := range []string{"runc", "crun"} {
		for how, clearDirectory := range clearings {
			t.Run(runtime+", "+how, func(t *testing.T) {
				executortest.VerifyNoLeaks(t)
				root, id, ended := filepath.Join(t.TempDir(), "r"), attendtest.NewID(), make(attendtest.Exits, 1)
				pull := attendtest.Trigger(t, rootfs, id)
				d := startDaemon(t, runtime, root, rootfs, id, "step=/"+id, "out=hello", "wait=", "id="+id)
				d.awaitLines("created")
				clearDirectory(t, root)
				d.kill()

				e := newExecutor(t, runtime, root, ended)
				defer func() { assert.NilError(t, e.Close()) }()
				running, err := e.IsRunning(id)
				assert.NilError(t, err)
				assert.Assert(t, running)
				runs, err := e.Runs()
				assert.NilError(t, err)
				assert.DeepEqual(t, runs, []string{id})
				clearDirectory(t, root) // once more, before the run is restored

				stdout := attendtest.NewOutput()
				alive, err := e.Restore(id, stdout, attendtest.NewOutput())
				assert.NilError(t, err)
				assert.Assert(t, alive)
				pull()
				stdout.AwaitText(t, "hello\n")
				assert.NilError(t, e.Signal(id, syscall.SIGKILL))
				ended.Await(t, id)
				attendtest.AwaitNoneOf(t, id)
				assertNothingLeft(t, root)
			})
		}
	}
}

// losses are the ways in which a run loses its record.
var losses = map[string]func(t *testing.T, bundle string){
	"no bundle": func(t *testing.T, bundle string) { assert.NilError(t, os.RemoveAll(bundle)) },
	"no record": func(t *testing.T, bundle string) {
		assert.NilError(t, os.Remove(filepath.Join(bundle, "run.json")))
	},
	"an empty record": func(t *testing.T, bundle string) {
		assert.NilError(t, os.Truncate(filepath.Join(bundle, "run.json"), 0))
	},
}

// Record and foreground runtime are both gone. New finds the container in the
// runtime's state, which is in the executor's directory, and ends it.
func TestARunWithoutRecordAndRuntimeIsEnded(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	for _, runtime := range []string{"runc", "crun"} {
		for how, lose := range losses {
			t.Run(runtime+", "+how, func(t *testing.T) {
				executortest.VerifyNoLeaks(t)
				root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
				d := startDaemon(t, runtime, root, rootfs, id, "out=up", "wait=", "id="+id)
				d.awaitLines("up", "created")
				lose(t, filepath.Join(root, "bundles", id))
				d.kill()
				killRuntimes(t, id)
				assert.Equal(t, len(pluginsOf(t, id)), 1, "the plugin lives on")

				e := newExecutor(t, runtime, root, ended)
				defer e.Close()
				runs, err := e.Runs()
				assert.NilError(t, err)
				assert.Equal(t, len(runs), 0, "%q", runs)
				assert.Equal(t, len(pluginsOf(t, id)), 0)
				assert.Equal(t, len(cgroupsOf(t, id)), 0)
				assertNothingLeft(t, root)
				assert.NilError(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
				ended.Await(t, id)
			})
		}
	}
}

// killRuntimes kills the foreground runtimes of id and waits for their ends. A
// runtime's children live on.
func killRuntimes(t testing.TB, id string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	assert.NilError(t, err)
	for _, entry := range entries {
		arguments, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if pid, err := strconv.Atoi(entry.Name()); err == nil && strings.HasSuffix(string(arguments), "pid\x00"+id+"\x00") {
			killProcess(t, pid)
		}
	}
}

// Create replaces what a crashed daemon left, also without a record: never do
// two processes of a plugin live.
func TestARunWithoutRecordIsReplaced(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := filepath.Join(t.TempDir(), "r"), attendtest.NewID(), make(attendtest.Exits, 1)
	d := startDaemon(t, "runc", root, rootfs, id, "wait=", "id="+id, "number=first")
	d.awaitLines("created")
	assert.NilError(t, os.RemoveAll(root))
	d.kill()

	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	stdout := attendtest.NewOutput()
	assert.NilError(t, e.Create(id, executortest.Spec(rootfs, "out=up", "wait=", "id="+id, "number=second"), stdout, attendtest.NewOutput()))
	stdout.AwaitText(t, "up\n") // it has become the program
	assert.DeepEqual(t, pluginsOf(t, id), []string{"/probe\x00out=up\x00wait=\x00id=" + id + "\x00number=second\x00"})
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
	assertNothingLeft(t, root)
}

// A living daemon goes on: its run can be ended, others start, and the
// directory is its own as before.
func TestTheDirectoryIsClearedDuringARun(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	for how, clearDirectory := range clearings {
		t.Run(how, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root, ended := filepath.Join(t.TempDir(), "r"), make(attendtest.Exits, 2)
			e := newExecutor(t, "runc", root, ended)
			defer func() { assert.NilError(t, e.Close()) }()
			first, second := attendtest.NewID(), attendtest.NewID()
			assert.NilError(t, e.Create(first, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
			clearDirectory(t, root)
			runs, err := e.Runs()
			assert.NilError(t, err)
			assert.DeepEqual(t, runs, []string{first})

			assert.NilError(t, e.Create(second, executortest.Spec(rootfs, "wait="), attendtest.NewOutput(), attendtest.NewOutput()))
			_, err = os.Stat(filepath.Join(root, "bundles", first, "run.json"))
			assert.NilError(t, err, "the record is written again")
			_, err = dirlock.Lock(root)
			assert.Assert(t, errors.Is(err, dirlock.ErrLocked), "%v", err)

			for _, id := range []string{first, second} {
				assert.NilError(t, e.Signal(id, syscall.SIGKILL))
				ended.Await(t, id)
			}
			assertNothingLeft(t, root)
		})
	}
}

// A second process does not take the runs of a living one for leftovers because
// the directory that the living one had locked was deleted.
func TestAClearedDirectoryHasOneProcess(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, ended := filepath.Join(t.TempDir(), "r"), attendtest.NewID(), make(attendtest.Exits, 1)
	d := startDaemon(t, "runc", root, rootfs, id, "out=up", "wait=", "id="+id)
	d.awaitLines("up", "created")
	assert.NilError(t, os.RemoveAll(root))
	_, err := runc.New(root, ended)
	var locked *runc.LockedError
	assert.Assert(t, errors.As(err, &locked), "%v", err)
	assert.Equal(t, len(pluginsOf(t, id)), 1)

	d.kill()
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	assert.NilError(t, e.Signal(id, syscall.SIGKILL))
	ended.Await(t, id)
}

// A process that bears a runtime's arguments within a plugin's root is none.
func TestAPluginCanNotPassForARuntime(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, id, other, ended := filepath.Join(t.TempDir(), "r"), attendtest.NewID(), attendtest.NewID(), make(attendtest.Exits, 1)
	b := filepath.Join(root, "bundles", other)
	e := newExecutor(t, "runc", root, ended)
	spec := executortest.Spec(rootfs, "wait=")
	spec.Process.Args = append(spec.Process.Args, "run", "--bundle", b, "--pid-file", filepath.Join(b, "pid"), other)
	assert.NilError(t, e.Create(id, spec, attendtest.NewOutput(), attendtest.NewOutput()))
	newer := newExecutor(t, "runc", root, ended)
	defer newer.Close()
	running, err := newer.IsRunning(other)
	assert.NilError(t, err)
	assert.Assert(t, !running)
	runs, err := newer.Runs()
	assert.NilError(t, err)
	assert.DeepEqual(t, runs, []string{id})
	assert.NilError(t, newer.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
	ended.Await(t, id)
}

// A process of another user that bears a runtime's arguments is none.
func TestAnotherUserCanNotPassForARuntime(t *testing.T) {
	root, id := filepath.Join(t.TempDir(), "r"), attendtest.NewID()
	b := filepath.Join(root, "bundles", id)
	forged := exec.CommandContext(t.Context(), "/bin/sh", "-c", "echo; read line", "run", "--bundle", b, "--pid-file", filepath.Join(b, "pid"), id)
	forged.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	input, err := forged.StdinPipe()
	assert.NilError(t, err)
	output, err := forged.StdoutPipe()
	assert.NilError(t, err)
	assert.NilError(t, forged.Start())
	_, err = output.Read(make([]byte, 1)) // it has become the shell
	assert.NilError(t, err)
	e := newExecutor(t, "runc", root, make(attendtest.Exits, 1))
	runs, err := e.Runs()
	assert.NilError(t, err)
	assert.Check(t, is.Len(runs, 0))
	running, err := e.IsRunning(id)
	assert.NilError(t, err)
	assert.Check(t, !running)
	assert.NilError(t, input.Close())
	_ = forged.Wait() // it ends in an error of read
}

// pluginsOf returns the arguments of the plugin's own processes among those of
// id.
func pluginsOf(t *testing.T, id string) []string {
	t.Helper()
	return slices.DeleteFunc(attendtest.ProcessesOf(t, id), func(process string) bool { return !strings.HasPrefix(process, "/probe\x00") })
}
