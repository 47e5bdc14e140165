// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processPatience bounds the wait for the end of a process, also on a loaded machine.
const processPatience = time.Minute

// WatchProcess returns a function that waits for the end of a process, which need not
// be a child of the test. The process lives, or has ended before; its PID is not used
// again in between. The function fails the test if the process does not end in a
// minute.
func WatchProcess(t testing.TB, pid int) (awaitEnd func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, unix.O_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return func() {}
	}
	if err != nil {
		t.Fatalf("watch process %d: %v", pid, err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { file.Close() })
	arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return func() {
		t.Helper()
		if err := awaitReadable(file); err != nil {
			t.Fatalf("process %d did not end: %v: %q", pid, err, arguments)
		}
	}
}

// awaitReadable waits until a pidfd is readable: its process has ended then, see
// https://man7.org/linux/man-pages/man2/pidfd_open.2.html.
func awaitReadable(file *os.File) error {
	if err := file.SetReadDeadline(time.Now().Add(processPatience)); err != nil {
		return err
	}
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return connection.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1
	})
}

// ParentOf returns the parent of a process, see
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html.
func ParentOf(t testing.TB, pid int) (parent int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
	if _, err := fmt.Sscan(rest, &parent); err != nil {
		t.Fatalf("read the parent of process %d: %v", pid, err)
	}
	return parent
}
