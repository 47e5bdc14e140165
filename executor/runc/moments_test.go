// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// A daemon is killed at moments spread over a whole Create, alone or with its
// runtime. The next daemon finds a living run, or leaves nothing of it. Only the
// cgroups of a runtime that was killed stay, empty, until the next run of the ID ends.
func TestADaemonIsKilledAtAnyMoment(t *testing.T) {
	t.Run("alone", func(t *testing.T) { killAtMoments(t, false) })
	t.Run("with its runtime", func(t *testing.T) { killAtMoments(t, true) })
}

func killAtMoments(t *testing.T, withRuntime bool) {
	rootfs := executortest.BuildProbe(t)
	executortest.VerifyNoLeaks(t)
	const moments = 20
	whole, restored := durationOfCreate(t, rootfs), 0
	for moment := range moments {
		root, id, ended := t.TempDir(), attendtest.NewID(), make(attendtest.Exits, 1)
		d := startDaemon(t, "runc", root, rootfs, id, "wait=", "id="+id)
		after := whole * time.Duration(moment+1) / moments
		<-time.After(after)
		d.kill()
		if withRuntime {
			killRuntimes(t, id)
		}

		e := newExecutor(t, "runc", root, ended)
		alive, err := e.Restore(id, attendtest.NewOutput(), attendtest.NewOutput())
		assert.NilError(t, err)
		if alive {
			restored++
			assert.NilError(t, e.Signal(id, syscall.SIGKILL))
			ended.Await(t, id)
		}
		attendtest.AwaitNoneOf(t, id)
		assertNothingLeft(t, root)
		if len(cgroupsOf(t, id)) > 0 && withRuntime {
			assert.NilError(t, e.Create(id, executortest.Spec(rootfs), attendtest.NewOutput(), attendtest.NewOutput()))
			ended.Await(t, id)
		}
		assert.NilError(t, e.Close())
		assert.Equal(t, len(cgroupsOf(t, id)), 0, "killed after %v: %q", after, cgroupsOf(t, id))
	}
	t.Logf("%d of %d runs were restored", restored, moments)
}

// durationOfCreate returns how long a daemon takes to start a run.
func durationOfCreate(t *testing.T, rootfs string) time.Duration {
	began := time.Now()
	d := startDaemon(t, "runc", t.TempDir(), rootfs, attendtest.NewID(), "exit=0")
	d.awaitLines("created")
	defer d.kill()
	return time.Since(began)
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
