// SPDX-License-Identifier: Apache-2.0

//go:build linux

package attendtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

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
