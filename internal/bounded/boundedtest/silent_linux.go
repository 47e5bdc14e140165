// SPDX-License-Identifier: Apache-2.0

// Package boundedtest gives tests a file system that never answers.
package boundedtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/internal/testenv"
)

// Silence mounts a file system on dir; its server lives but never answers. The
// server ends with the test, which frees all calls that hang in it.
func Silence(t testing.TB, dir string) {
	t.Helper()
	testenv.NeedsRoot(t, "mounting")
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, unix.Close(server)) })
	assert.NilError(t, unix.Mount("silent", dir, "fuse.silent", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server)))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// TempDir is a directory that is deleted only once nothing is mounted in it, if
// that is done by [Silence] after it.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "silent")
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(dir)) })
	return dir
}

// Hanging returns how many threads of this process the kernel keeps for a file
// system, or a disk, that has not answered: those in the state D, see proc(5).
func Hanging(t testing.TB) (threads int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/self/task/*/stat")
	assert.NilError(t, err)
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		if _, state, ok := bytes.Cut(stat, []byte(") ")); ok && state[0] == 'D' {
			threads++
		}
	}
	return threads
}
