//go:build linux

package runc_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// A daemon is killed at moments spread over a whole Create. Whatever it was
// doing, the next one finds a run that lives, or leaves nothing of it.
func TestADaemonIsKilledAtAnyMoment(t *testing.T) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	const moments, step = 30, 2 * time.Millisecond
	restored := 0
	for moment := range moments {
		root, id, ended := t.TempDir(), newID(), make(exits, 1)
		d := startDaemon(t, "runc", root, rootfs, id, "wait=", "id="+id)
		<-time.After(20*time.Millisecond + time.Duration(moment)*step)
		d.kill()

		e := newExecutor(t, "runc", root, ended)
		alive, err := e.Restore(id, newOutput(), newOutput())
		assert.NilError(t, err)
		if alive {
			restored++
			assert.NilError(t, e.Signal(id, syscall.SIGKILL))
			ended.await(t, id)
		}
		assert.NilError(t, e.Close())
		assertNothingLeft(t, root)
		left := processesOf(t, id)
		left = append(left, cgroupsOf(t, id)...)
		assert.Equal(t, len(left), 0, "killed after %v: %q", 20*time.Millisecond+time.Duration(moment)*step, left)
	}
	t.Logf("%d of %d runs were restored", restored, moments)
}

// processesOf returns the arguments of all processes that have id in them.
func processesOf(t *testing.T, id string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	assert.NilError(t, err)
	for _, file := range files {
		// A process may be gone by now; a zombie has no arguments.
		arguments, _ := os.ReadFile(file)
		if bytes.Contains(arguments, []byte(id)) {
			found = append(found, string(arguments))
		}
	}
	return found
}

// cgroupsOf returns the cgroups of id, in whatever hierarchy.
func cgroupsOf(t *testing.T, id string) (found []string) {
	t.Helper()
	assert.NilError(t, filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == id {
			found = append(found, path)
		}
		return nil
	}))
	return found
}
