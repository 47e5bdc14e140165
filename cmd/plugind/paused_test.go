// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// TestAPausedLogDelaysLittle fills the pipe of plugind's log, as a terminal does
// after Ctrl-S. Plugins are started, restarted and stopped as before, and plugind
// ends.
func TestAPausedLogDelaysLittle(t *testing.T) {
	s := newScene(t, executortest.BuildProbe(t), "", false)
	pipe := s.fifo(filepath.Join(s.Directory, "log"))
	defer pipe.Close()
	s.wrapper = []string{"sh", "-c", `exec "$0" 2>"` + pipe.Name() + `"`}
	s.launch("")
	awaitLine(t, pipe, "plugind is listening")
	fill(t, pipe)

	s.create()
	assert.NilError(t, s.enable())
	started := s.programs()
	assert.Equal(t, len(started), 1)
	assert.NilError(t, syscall.Kill(started[0], syscall.SIGKILL))
	testenv.WatchProcess(t, started[0])()
	assert.NilError(t, s.disable())
	assert.Equal(t, len(s.programs()), 0)
	assert.NilError(t, s.enable())
	assert.NilError(t, s.finish(syscall.SIGTERM))
	assert.Equal(t, len(s.programs()), 0)
}

// TestALogWithoutAReader closes the pipe of plugind's log, as a journald that restarts
// does. Plugins are started, restarted and stopped as before, and inherit nothing of how
// plugind survives SIGPIPE.
func TestALogWithoutAReader(t *testing.T) {
	s := newScene(t, executortest.BuildProbe(t), "", false)
	pipe := s.fifo(filepath.Join(s.Directory, "log"))
	s.wrapper = []string{"sh", "-c", `exec "$0" 2>"` + pipe.Name() + `"`}
	s.launch("")
	awaitLine(t, pipe, "plugind is listening")
	assert.NilError(t, pipe.Close())

	s.create()
	assert.NilError(t, s.enable())
	started := s.programs()
	assert.Equal(t, len(started), 1)
	assert.Equal(t, ignoredSignals(t, started[0])>>(syscall.SIGPIPE-1)&1, uint64(0))
	assert.NilError(t, syscall.Kill(started[0], syscall.SIGKILL))
	testenv.WatchProcess(t, started[0])()
	assert.NilError(t, s.disable())
	assert.NilError(t, s.enable())
	assert.NilError(t, s.finish(syscall.SIGTERM))
	assert.Equal(t, len(s.programs()), 0)
}

// ignoredSignals returns the signals that process pid ignores, see
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html.
func ignoredSignals(t *testing.T, pid int) (set uint64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	assert.NilError(t, err)
	_, after, found := strings.Cut(string(status), "\nSigIgn:\t")
	assert.Assert(t, found)
	_, err = fmt.Sscanf(after, "%x", &set)
	assert.NilError(t, err)
	return set
}

// TestAPausedTerminalDelaysNoExit fills the pipe of the standard error, to which
// plugind prints why it ends.
func TestAPausedTerminalDelaysNoExit(t *testing.T) {
	near, far, err := os.Pipe()
	assert.NilError(t, err)
	fill(t, far)
	assert.Equal(t, exitCode(far, errors.New("a reason")), 1)
	assert.NilError(t, near.Close()) // ends the print
	assert.NilError(t, far.Close())
	assert.Equal(t, exitCode(far, nil), 0)
}

// awaitLine reads pipe until a line contains text.
func awaitLine(t *testing.T, pipe *os.File, text string) {
	t.Helper()
	assert.NilError(t, pipe.SetReadDeadline(time.Now().Add(patience)))
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("no line contains %q: %v", text, lines.Err())
}

// fill writes to pipe until it is full.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	connection, err := pipe.SyscallConn()
	assert.NilError(t, err)
	assert.NilError(t, connection.Control(func(fd uintptr) {
		for err = unix.SetNonblock(int(fd), true); err == nil; {
			_, err = unix.Write(int(fd), []byte("x"))
		}
	}))
	assert.ErrorIs(t, err, unix.EAGAIN)
}
