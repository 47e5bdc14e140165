//go:build linux

package runc_test

import (
	"bytes"
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
		assert.Equal(t, processesOf(t, id), 0, "killed after %v", 20*time.Millisecond+time.Duration(moment)*step)
	}
	t.Logf("%d of %d runs were restored", restored, moments)
}

// processesOf counts the processes that have id in their arguments.
func processesOf(t *testing.T, id string) (count int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	assert.NilError(t, err)
	for _, file := range files {
		// A process may be gone by now; a zombie has no arguments.
		arguments, _ := os.ReadFile(file)
		if bytes.Contains(arguments, []byte(id)) {
			count++
		}
	}
	return count
}
