// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
)

func newExecutor(t testing.TB, runtime, root string, exits runc.ExitHandler) *runc.Executor {
	t.Helper()
	e, err := runc.New(root, exits, runc.WithRuntime(runtimePath(t, runtime)))
	assert.NilError(t, err, "the tests need %s, and root", runtime)
	return e
}

// runtimePath returns the path of a runtime. On hosts with cgroup hierarchies of
// both versions, crun accepts the hierarchy of version 2 only if it has no
// controller. On such a host crun runs without that hierarchy.
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

// handler makes an exit handler of a function.
type handler func(id string)

func (h handler) HandleExitEvent(id string) error {
	h(id)
	return nil
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

// killProcess ends a process that is not ours to wait for, and waits.
func killProcess(t testing.TB, pid int) {
	t.Helper()
	awaitDeath := testenv.WatchProcess(t, pid)
	assert.NilError(t, unix.Kill(pid, unix.SIGKILL))
	awaitDeath()
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
	assert.NilError(t, alive.SetReadDeadline(time.Now().Add(attendtest.Patience)))
	_, err := alive.Read(make([]byte, 1))
	assert.Equal(t, err, io.EOF)
}

// notice makes a FIFO in rootfs by which a program reports an event.
func notice(t testing.TB, rootfs, name string) (await func()) {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		assert.NilError(t, file.SetReadDeadline(time.Now().Add(attendtest.Patience)))
		_, err := file.Read(make([]byte, 1))
		assert.NilError(t, err)
	}
}
