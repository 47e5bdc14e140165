// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// TestMain is also the daemon that the tests kill: with daemonVariable set it
// starts the probe with the given steps and stays.
func TestMain(m *testing.M) {
	if os.Getenv(daemonVariable) == "" {
		os.Exit(m.Run())
	}
	if err := beDaemon(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

const daemonVariable = "RUNC_TEST_DAEMON"

func beDaemon(runtime, root, rootfs, id string, steps []string) error {
	e, err := runc.New(root, handler(func(string) {}), runc.WithRuntime(runtime))
	if err != nil {
		return err
	}
	if err := e.Create(id, executortest.Spec(rootfs, steps...), os.Stdout, os.Stderr); err != nil {
		return err
	}
	fmt.Println("created")
	select {}
}

// daemon is a process with an executor.
type daemon struct {
	t       testing.TB
	command *exec.Cmd
	lines   *bufio.Scanner
}

func startDaemon(t testing.TB, runtime, root, rootfs, id string, steps ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, command: exec.Command(os.Args[0], append([]string{runtimePath(t, runtime), root, rootfs, id}, steps...)...)}
	d.command.Env = append(os.Environ(), daemonVariable+"=1")
	d.command.Stderr = os.Stderr
	stdout, err := d.command.StdoutPipe()
	assert.NilError(t, err)
	d.lines = bufio.NewScanner(stdout)
	assert.NilError(t, d.command.Start())
	t.Cleanup(func() { d.command.Process.Kill() })
	return d
}

// awaitLines waits until the daemon has printed each of the lines.
func (d *daemon) awaitLines(lines ...string) {
	d.t.Helper()
	for len(lines) > 0 && d.lines.Scan() {
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == d.lines.Text() })
	}
	if len(lines) > 0 {
		d.t.Fatalf("the daemon ended before it printed %q", lines)
	}
}

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	d.t.Helper()
	assert.NilError(d.t, d.command.Process.Kill())
	assert.ErrorContains(d.t, d.command.Wait(), "killed")
}

// A plugin survives the SIGKILL of its daemon. The next daemon reads all output,
// also that of the time without a daemon.
func TestADaemonIsKilled(t *testing.T) {
	const lines = 20_000
	rootfs := executortest.BuildProbe(t)
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
			pull, await := attendtest.Trigger(t, rootfs, "go-"+runtime), notice(t, rootfs, "written-"+runtime)
			d := startDaemon(t, runtime, root, rootfs, id, "out=up", "step=/go-"+runtime,
				fmt.Sprintf("lines=%d", lines), "tell=/written-"+runtime, "wait=", "exit=1")
			d.awaitLines("up", "created")
			d.kill()
			pull()
			await()

			e := newExecutor(t, runtime, root, ended)
			defer e.Close()
			stdout := attendtest.NewOutput()
			alive, err := e.Restore(id, stdout, attendtest.NewOutput())
			assert.NilError(t, err)
			assert.Assert(t, alive)
			assert.NilError(t, e.Signal(id, syscall.SIGTERM))
			ended.Await(t, id)
			text := stdout.All(t)
			assert.Equal(t, strings.Count(text, "\n"), lines)
			assert.Assert(t, strings.HasSuffix(text, fmt.Sprintf("line %d\n", lines)))
			assertNothingLeft(t, root)

			code, _, ok := e.LastExit(id)
			assert.Equal(t, ok, kernelReportsExitCodes(t))
			assert.Equal(t, code, 0)
		})
	}
}

// A code other than zero shows that it came from the kernel, and is not a default.
func TestExitCodeOfARestoredRun(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	root, ended, id := t.TempDir(), make(attendtest.Exits, 1), attendtest.NewID()
	pull := attendtest.Trigger(t, rootfs, "go")
	d := startDaemon(t, "runc", root, rootfs, id, "step=/go", "exit=42")
	d.awaitLines("created")
	d.kill()
	e := newExecutor(t, "runc", root, ended)
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, alive)
	pull()
	ended.Await(t, id)
	code, _, ok := e.LastExit(id)
	if kernelReportsExitCodes(t) {
		assert.Assert(t, ok)
		assert.Equal(t, code, 42)
	} else {
		assert.Assert(t, !ok)
	}
}

// kernelReportsExitCodes reports whether this is Linux 6.15 or newer.
func kernelReportsExitCodes(t testing.TB) bool {
	var name unix.Utsname
	assert.NilError(t, unix.Uname(&name))
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	assert.NilError(t, err)
	return major > 6 || major == 6 && minor >= 15
}

// A crash in the middle of Create can leave a runtime that is still starting its
// container. The next daemon knows of it only from the record.
func TestAnUnfinishedCreateIsUndone(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	undo := map[string]func(t *testing.T, root, id string){
		"by New":     func(*testing.T, string, string) {},
		"by Restore": restoreDead,
		"by Create": func(t *testing.T, root, id string) {
			ended := make(attendtest.Exits, 1)
			e := newExecutor(t, "runc", root, ended)
			defer e.Close()
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
			ended.Await(t, id)
		},
	}
	for name, undo := range undo {
		t.Run(name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			root, id := t.TempDir(), attendtest.NewID()
			alive := lifeline(t, rootfs, "alive-"+id[:8])
			d := startDaemon(t, "runc", root, rootfs, id, "hold=/alive-"+id[:8], "out=up", "wait=")
			d.awaitLines("up", "created")
			d.kill()
			forgetInit(t, root, id)

			undo(t, root, id)
			e := newExecutor(t, "runc", root, make(attendtest.Exits))
			defer e.Close()
			awaitEnd(t, alive)
			restoreDead(t, root, id)
			assertNothingLeft(t, root)
		})
	}
}

func restoreDead(t *testing.T, root, id string) {
	t.Helper()
	e := newExecutor(t, "runc", root, make(attendtest.Exits))
	defer e.Close()
	alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
	assert.NilError(t, err)
	assert.Assert(t, !alive)
}

// forgetInit makes the record of a run look as it does until Create is done.
func forgetInit(t testing.TB, root, id string) {
	t.Helper()
	editRecord(t, root, id, func(record map[string]any) { delete(record, "init") })
}

func editRecord(t testing.TB, root, id string, edit func(record map[string]any)) {
	t.Helper()
	path := filepath.Join(root, "bundles", id, "run.json")
	content, err := os.ReadFile(path)
	assert.NilError(t, err)
	var record map[string]any
	assert.NilError(t, json.Unmarshal(content, &record))
	edit(record)
	content, err = json.Marshal(record)
	assert.NilError(t, err)
	assert.NilError(t, os.WriteFile(path, content, 0o600))
}
