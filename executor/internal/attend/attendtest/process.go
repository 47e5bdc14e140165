// SPDX-License-Identifier: Apache-2.0

//go:build linux

package attendtest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
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

// ProcessesOf returns the arguments of all processes whose arguments contain text.
func ProcessesOf(t testing.TB, text string) (found []string) {
	t.Helper()
	return slices.Collect(maps.Values(processesOf(t, text)))
}

// AwaitNoneOf waits until no process has arguments that contain text: a killed process
// takes a moment to end.
func AwaitNoneOf(t testing.TB, text string) {
	t.Helper()
	for pid := range processesOf(t, text) {
		testenv.WatchProcess(t, pid)()
	}
	assert.Equal(t, len(processesOf(t, text)), 0, "%q", ProcessesOf(t, text))
}

// processesOf returns the arguments by PID.
func processesOf(t testing.TB, text string) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	assert.NilError(t, err)
	found := make(map[int]string)
	for _, file := range files {
		// The process may be gone. A zombie has no arguments.
		arguments, _ := os.ReadFile(file)
		if bytes.Contains(arguments, []byte(text)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			assert.NilError(t, err)
			found[pid] = string(arguments)
		}
	}
	return found
}
