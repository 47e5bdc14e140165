// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugintest_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/fsnotify/fsnotify"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// awaitFile waits until directory has a file with the given name.
func awaitFile(t *testing.T, directory, name string) {
	t.Helper()
	watcher, err := fsnotify.NewWatcher()
	assert.NilError(t, err)
	defer watcher.Close()
	assert.NilError(t, watcher.Add(directory))
	if found, _ := filepath.Glob(filepath.Join(directory, name)); len(found) > 0 {
		return
	}
	select {
	case event := <-watcher.Events:
		assert.Equal(t, event.Name, filepath.Join(directory, name))
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not appear", name)
	}
}

func TestReportTwice(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{Reports: plugintest.ReportTwice}}
	n := newNotebook(e)
	start(t, e, "p")
	assert.NilError(t, e.Exit("p", 1))
	n.await(t, "p")
	n.await(t, "p")
	assert.Equal(t, len(n.exits), 0)
}

func TestReportNeverLeavesReportsToTheTest(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{Reports: plugintest.ReportNever}}
	n := newNotebook(e)
	start(t, e, "p")
	assert.NilError(t, e.Exit("p", 1))
	alive, err := e.IsRunning("p")
	assert.NilError(t, err)
	assert.Assert(t, !alive)
	assert.Equal(t, len(n.exits), 0)
	e.Report("p")
	n.await(t, "p")
}

func TestReportInSignal(t *testing.T) {
	tests := []struct {
		name   string
		signal syscall.Signal
		deaf   bool
		want   int
	}{
		{"SIGTERM", syscall.SIGTERM, false, 1},
		{"SIGKILL", syscall.SIGKILL, false, 1},
		{"SIGTERM that is ignored", syscall.SIGTERM, true, 0},
		{"SIGHUP, which ends nothing", syscall.SIGHUP, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			executortest.VerifyNoLeaks(t)
			e := &plugintest.Executor{Behaviour: plugintest.Behaviour{Reports: plugintest.ReportInSignal, IgnoresSIGTERM: test.deaf}}
			reports, inside := 0, false
			// No lock: the race detector finds a report outside the Signal
			// call, which this test excludes.
			e.HandleExits(func(id string) {
				reports++
				assert.Check(t, inside)
			})
			start(t, e, "p")
			inside = true
			assert.NilError(t, e.Signal("p", test.signal))
			inside = false
			assert.Equal(t, reports, test.want)
			e.HandleExits(nil)
		})
	}
}

func TestReportInSignalOfAnEndByItself(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{Reports: plugintest.ReportInSignal}}
	n := newNotebook(e)
	start(t, e, "p")
	assert.NilError(t, e.Exit("p", 1))
	n.await(t, "p")
	assert.Equal(t, len(n.exits), 0)
}

func TestAlwaysRunning(t *testing.T) {
	e := &plugintest.Executor{Behaviour: plugintest.Behaviour{AlwaysRunning: true}}
	start(t, e, "p")
	assert.NilError(t, e.Exit("p", 0))
	for _, id := range []string{"p", "never created"} {
		alive, err := e.IsRunning(id)
		assert.NilError(t, err)
		assert.Assert(t, alive, id)
	}
}

func TestExitWithoutARun(t *testing.T) {
	e := &plugintest.Executor{}
	assert.Assert(t, errdefs.IsNotFound(e.Exit("p", 1)))
	assert.Assert(t, errdefs.IsNotFound(e.Signal("p", syscall.SIGTERM)))
	start(t, e, "p")
	assert.NilError(t, e.Exit("p", 1))
	assert.Assert(t, errdefs.IsNotFound(e.Exit("p", 1)))
}

func TestRunsOfAClosedExecutorAreNotReported(t *testing.T) {
	executortest.VerifyNoLeaks(t)
	e := &plugintest.Executor{}
	before := newNotebook(e)
	start(t, e, "p")
	assert.NilError(t, e.Close())
	after := newNotebook(e)
	assert.NilError(t, e.Exit("p", 1))
	assert.Equal(t, len(before.exits)+len(after.exits), 0)
}

// BenchmarkCreateAndStop measures the fake alone, without a manager.
func BenchmarkCreateAndStop(b *testing.B) {
	e := &plugintest.Executor{}
	ended := make(chan struct{}, 1)
	e.HandleExits(func(string) { ended <- struct{}{} })
	spec := specIn(b.TempDir())
	for b.Loop() {
		if err := e.Create("p", spec, newBuffer(), newBuffer()); err != nil {
			b.Fatal(err)
		}
		if err := e.Signal("p", syscall.SIGTERM); err != nil {
			b.Fatal(err)
		}
		<-ended
	}
}
