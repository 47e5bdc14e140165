//go:build linux

package runc_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/runc"
)

func newExecutor(t testing.TB, runtime, root string, exits runc.ExitHandler) *runc.Executor {
	t.Helper()
	e, err := runc.New(root, exits, runc.WithRuntime(runtimePath(t, runtime)))
	assert.NilError(t, err, "the tests need %s, and root", runtime)
	return e
}

// runtimePath returns what to call as the runtime. Crun takes a cgroup
// hierarchy of version 2 beside those of version 1 only if no controller is
// left in it; where that is how a host is set up, crun is shown one without.
func runtimePath(t testing.TB, runtime string) string {
	t.Helper()
	const unified = "/sys/fs/cgroup/unified"
	var mounted unix.Statfs_t
	if runtime != "crun" || unix.Statfs(unified, &mounted) != nil || mounted.Type != unix.CGROUP2_SUPER_MAGIC {
		return runtime
	}
	wrapper := filepath.Join(t.TempDir(), runtime)
	assert.NilError(t, os.WriteFile(wrapper, []byte(`#!/bin/sh
exec unshare --mount -- sh -c 'umount `+unified+` && exec crun "$@"' crun "$@"
`), 0o700))
	return wrapper
}

// patience bounds waits for what should happen at once.
const patience = 20 * time.Second

// handler makes an exit handler of a function.
type handler func(id string)

func (h handler) HandleExitEvent(id string) error {
	h(id)
	return nil
}

// exits is an exit handler that lets a test wait.
type exits chan string

func (e exits) HandleExitEvent(id string) error {
	e <- id
	return nil
}

func (e exits) await(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-e:
		assert.Equal(t, got, want)
	case <-time.After(patience):
		t.Fatalf("the exit of %s was not reported within %v", want, patience)
	}
}

// output is a stream that is read when it was closed, or line by line.
type output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	lines  chan string
	closed chan struct{}
}

func newOutput() *output {
	return &output{lines: make(chan string, 100_000), closed: make(chan struct{})}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines <- string(p)
	return o.text.Write(p)
}

func (o *output) Close() error {
	close(o.closed)
	return nil
}

// all returns everything that was written, once the stream is closed.
func (o *output) all(t testing.TB) string {
	t.Helper()
	select {
	case <-o.closed:
	case <-time.After(patience):
		t.Fatalf("the stream was not closed within %v", patience)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) awaitLine(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-o.lines:
		assert.Equal(t, got, want+"\n")
	case <-time.After(patience):
		t.Fatalf("the line %q did not come within %v", want, patience)
	}
}

// isClosed reports whether the stream is closed now.
func (o *output) isClosed() bool {
	select {
	case <-o.closed:
		return true
	default:
		return false
	}
}

func newID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// assertNothingLeft fails unless an executor's directory holds nothing of any
// run.
func assertNothingLeft(t testing.TB, root string) {
	t.Helper()
	for _, directory := range []string{"bundles", "runtime"} {
		entries, err := os.ReadDir(filepath.Join(root, directory))
		assert.NilError(t, err)
		assert.Equal(t, len(entries), 0, "%s holds %v", directory, entries)
	}
}

func parentOf(t testing.TB, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	assert.NilError(t, err)
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			parent, err := strconv.Atoi(strings.TrimSpace(value))
			assert.NilError(t, err)
			return parent
		}
	}
	t.Fatalf("process %d has no parent", pid)
	return 0
}

// killProcess ends a process that is not ours to wait for, and waits.
func killProcess(t testing.TB, pid int) {
	t.Helper()
	awaitDeath := watchProcess(t, pid)
	assert.NilError(t, unix.Kill(pid, unix.SIGKILL))
	awaitDeath()
}

// watchProcess returns a function that waits for the end of a living process.
func watchProcess(t testing.TB, pid int) (awaitDeath func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	assert.NilError(t, err)
	file := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		assert.NilError(t, file.SetReadDeadline(time.Now().Add(patience)))
		connection, err := file.SyscallConn()
		assert.NilError(t, err)
		assert.NilError(t, connection.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			return err == nil && n == 1
		}), "process %d did not end", pid)
	}
}

// lifeline makes a fifo in rootfs and opens it; a program that holds it is
// waited for by awaitEnd.
func lifeline(t testing.TB, rootfs, name string) *os.File {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

func awaitEnd(t testing.TB, alive *os.File) {
	t.Helper()
	assert.NilError(t, alive.SetReadDeadline(time.Now().Add(patience)))
	_, err := alive.Read(make([]byte, 1))
	assert.Equal(t, err, io.EOF)
}

// trigger makes a fifo in rootfs that a program's step waits for.
func trigger(t testing.TB, rootfs, name string) (pull func()) {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return func() {
		_, err := file.Write([]byte{1})
		assert.NilError(t, err)
	}
}

// notice makes a fifo in rootfs on which a program tells of itself.
func notice(t testing.TB, rootfs, name string) (await func()) {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		assert.NilError(t, file.SetReadDeadline(time.Now().Add(patience)))
		_, err := file.Read(make([]byte, 1))
		assert.NilError(t, err)
	}
}
