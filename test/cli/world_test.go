// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// commandLimit bounds each command of a scenario.
const commandLimit = 2 * time.Minute

// world is the environment of one scenario.
type world struct {
	tools  built
	work   string
	daemon *daemon // nil before the first start
	seen   []int   // processes of the driver, in order of appearance
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{tools: tools(t)}
	var err error
	// Short, because sockets are below it.
	w.work, err = os.MkdirTemp("", "w")
	assert.NilError(t, err)
	t.Cleanup(func() { w.end(t) })
	// The client does not accept a symbolic link as a context.
	assert.NilError(t, os.CopyFS(filepath.Join(w.work, "context"), os.DirFS(w.tools.context)))
	return w
}

func (w *world) root() string     { return filepath.Join(w.work, "root") }
func (w *world) execRoot() string { return filepath.Join(w.work, "exec") }
func (w *world) socket() string   { return filepath.Join(w.work, "s") }

// run runs one command of a scenario and returns its output.
func (w *world) run(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	switch words[0] {
	case "daemon":
		w.control(t, words[1], words[2:])
		return ""
	case "drivers":
		return w.drivers(t)
	}
	return w.shell(t, line)
}

func (w *world) control(t testing.TB, verb string, flags []string) {
	t.Helper()
	switch verb {
	case "start":
		args := append([]string{"--root", w.root(), "--exec-root", w.execRoot(), "--host", "unix://" + w.socket(), "--log-level", "debug"}, flags...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "$WORK", w.work)
		}
		w.daemon = startDaemon(t, w.tools.bin, args...)
	case "stop":
		w.daemon.stop(t)
	case "kill":
		w.daemon.kill(t)
	default:
		t.Fatalf("daemon %s: there are start, stop and kill", verb)
	}
}

func (w *world) shell(t testing.TB, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	prelude, err := filepath.Abs("prelude.sh")
	assert.NilError(t, err)
	shell := exec.CommandContext(ctx, "sh", "-c", ". "+prelude+"\n"+line)
	shell.Dir = w.work
	shell.Env = append(os.Environ(),
		"PATH="+w.tools.bin+":"+os.Getenv("PATH"),
		"DOCKER_HOST=unix://"+w.socket(),
		"DOCKER_CONFIG="+filepath.Join(w.work, "config"),
		"DOCKER_CLI_HINTS=false",
		"WORK="+w.work, "SSHFS="+w.tools.sshfs, "ROOT="+w.root(), "EXECROOT="+w.execRoot(), "SOCKET="+w.socket(),
	)
	output, err := shell.CombinedOutput()
	assert.NilError(t, ctx.Err(), "%s took too long:\n%s", line, output)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Sprintf("%s[exit %d]\n", output, exit.ExitCode())
	}
	assert.NilError(t, err)
	return string(output)
}

// drivers lists the example plugin's processes in order of appearance.
func (w *world) drivers(t testing.TB) string {
	t.Helper()
	running := w.driverProcesses(t)
	if len(running) == 0 {
		return "none\n"
	}
	var list strings.Builder
	for _, pid := range running {
		if !slices.Contains(w.seen, pid) {
			w.seen = append(w.seen, pid)
		}
		fmt.Fprintf(&list, "process %d\n", slices.Index(w.seen, pid)+1)
	}
	return list.String()
}

// driverProcesses returns the processes whose /mnt/volumes is the propagated
// mount of a plugin in this world.
func (w *world) driverProcesses(t testing.TB) []int {
	t.Helper()
	ours, err := filepath.Glob(filepath.Join(w.root(), "plugins", "*", "propagated-mount"))
	assert.NilError(t, err)
	theirs, err := filepath.Glob("/proc/[0-9]*/root/mnt/volumes")
	assert.NilError(t, err)
	var found []int
	for _, path := range theirs {
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		assert.NilError(t, err)
		if slices.ContainsFunc(ours, func(our string) bool { return sameDirectory(our, path) }) {
			found = append(found, pid)
		}
	}
	return found
}

func sameDirectory(a, b string) bool {
	first, errFirst := os.Stat(a)
	second, errSecond := os.Stat(b)
	return errFirst == nil && errSecond == nil && os.SameFile(first, second)
}

// end cleans up, and checks that the scenario left nothing to clean up.
func (w *world) end(t testing.TB) {
	t.Helper()
	if w.daemon != nil {
		if w.daemon.running() {
			w.daemon.stop(t)
		}
		if t.Failed() {
			t.Logf("plugind:\n%s", w.daemon.lines())
		}
	}
	for _, pid := range w.driverProcesses(t) {
		t.Errorf("process %d of the driver is left", pid)
		assert.Check(t, unix.Kill(pid, unix.SIGKILL))
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.work))
	assert.NilError(t, err)
	for _, mount := range slices.Backward(mounts) {
		t.Errorf("mount %s is left", mount.Mountpoint)
		assert.Check(t, unix.Unmount(mount.Mountpoint, unix.MNT_DETACH))
	}
	assert.Check(t, os.RemoveAll(w.work))
}
