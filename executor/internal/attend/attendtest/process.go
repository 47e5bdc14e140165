// SPDX-License-Identifier: Apache-2.0

//go:build linux

package attendtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
)

// Trigger makes a FIFO in rootfs on which a step of the program waits.
func Trigger(t testing.TB, rootfs, name string) (pull func()) {
	t.Helper()
	path := filepath.Join(rootfs, name)
	assert.NilError(t, unix.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		_, err := file.Write([]byte{1})
		assert.NilError(t, err)
	}
}

// WatchProcess returns a function that waits for the end of a living process.
func WatchProcess(t testing.TB, pid int) (awaitDeath func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	assert.NilError(t, err)
	file := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { file.Close() })
	return func() {
		t.Helper()
		assert.NilError(t, file.SetReadDeadline(time.Now().Add(Patience)))
		connection, err := file.SyscallConn()
		assert.NilError(t, err)
		assert.NilError(t, connection.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			return err == nil && n == 1
		}), "process %d did not end", pid)
	}
}

// ParentOf returns the parent of process pid.
func ParentOf(t testing.TB, pid int) (parent int) {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	assert.NilError(t, err)
	_, rest, ok := strings.Cut(string(content), "PPid:")
	assert.Assert(t, ok)
	_, err = fmt.Sscan(rest, &parent)
	assert.NilError(t, err)
	return parent
}

// ProcessesOf returns the arguments of all processes whose arguments contain text.
func ProcessesOf(t testing.TB, text string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	assert.NilError(t, err)
	for _, file := range files {
		// The process may be gone. A zombie has no arguments.
		arguments, _ := os.ReadFile(file)
		if bytes.Contains(arguments, []byte(text)) {
			found = append(found, string(arguments))
		}
	}
	return found
}
