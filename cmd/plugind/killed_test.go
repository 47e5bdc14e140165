// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// stage is a point at which plugind is killed.
type stage struct {
	name  string
	bring func(s *scene)
	// enabled is the plugin's desired state after the kill. lives reports
	// whether its process lives.
	enabled, lives bool
}

const whileMade = "while the container is made"

var stages = []stage{
	{"enable: before the process is made", enabling(atCreate), false, false},
	{"enable: " + whileMade, enabling(whileCreate), false, false},
	{"enable: when the process was made", enabling(afterCreate), false, false},
	{"enable: while the plugin is not ready", func(s *scene) {
		s.start("")
		s.create(slow...)
		s.inBackground(s.enable)
		s.awaitGate()
	}, false, false},

	{"running", func(s *scene) { s.running("") }, true, true},

	{"disable: before the signal", leaving(atSignal, (*scene).disable), false, false},
	{"disable: after the signal", leaving(afterSignal, (*scene).disable), false, false},
	{"remove: before the signal", leaving(atSignal, (*scene).remove), true, true},
	{"remove: after the signal", leaving(afterSignal, (*scene).remove), true, false},

	{"shutdown: when the plugins were stopped, or left", func(s *scene) {
		s.running(atClose)
		s.askToEnd()
		s.awaitGate()
	}, true, true},

	{"boot: before the process is taken over", booting(atRestore, (*scene).kill), true, true},
	{"boot: when the process was taken over", booting(afterRest, (*scene).kill), true, true},
	{"boot: before the process is made", booting(atCreate, (*scene).killAll), true, false},
	{"boot: " + whileMade, booting(whileCreate, (*scene).killAll), true, false},
	{"boot: when the process was made", booting(afterCreate, (*scene).killAll), true, false},
	{"boot: while the plugin is not ready", func(s *scene) {
		s.start("")
		s.create(slow...)
		s.inBackground(s.enable)
		s.awaitGate()
		_, err := s.permits.Write([]byte("\n"))
		assert.NilError(s.t, err)
		assert.NilError(s.t, <-s.result)
		s.killAll()
		s.launch("")
		s.awaitGate()
	}, true, false},
}

// slow are the steps of a plugin that listens only when the test lets it.
var slow = []string{"tell=/gates/reached", "step=/gates/leave"}

func enabling(at string) func(s *scene) {
	return func(s *scene) {
		s.start(at)
		s.create()
		s.inBackground(s.enable)
		s.awaitGate()
	}
}

func leaving(at string, verb func(s *scene) error) func(s *scene) {
	return func(s *scene) {
		s.running(at)
		s.inBackground(func() error { return verb(s) })
		s.awaitGate()
	}
}

// booting stops a second plugind as it starts, after the first has ended.
func booting(at string, end func(s *scene)) func(s *scene) {
	return func(s *scene) {
		s.running("")
		end(s)
		s.launch(at)
		s.awaitGate()
	}
}

// running starts a plugind with an enabled plugin.
func (s *scene) running(at string) {
	s.t.Helper()
	s.start(at)
	s.create()
	assert.NilError(s.t, s.enable())
}

// killAll kills plugind and the plugin.
func (s *scene) killAll() {
	s.t.Helper()
	pid := s.pid()
	s.kill()
	assert.NilError(s.t, unix.Kill(pid, unix.SIGKILL))
	testenv.WatchProcess(s.t, pid)()
}

// TestKilledInEveryStage kills plugind at each stage. The next plugind finds
// the plugin in its desired state, takes its process over where live restore
// allows, and leaves nothing of a disabled plugin.
func TestKilledInEveryStage(t *testing.T) {
	probe := executortest.BuildProbe(t)
	containerd := startContainerd(t)
	for _, stage := range stages {
		t.Run("runc/stopping plugins/"+stage.name, func(t *testing.T) {
			t.Parallel()
			killed(newScene(t, probe, "", false), stage)
		})
		t.Run("runc/leaving plugins/"+stage.name, func(t *testing.T) {
			t.Parallel()
			killed(newScene(t, probe, "", true), stage)
		})
		// containerd itself must end a half-made container whose client died.
		if strings.HasSuffix(stage.name, whileMade) {
			continue
		}
		t.Run("containerd/leaving plugins/"+stage.name, func(t *testing.T) {
			t.Parallel()
			killed(newScene(t, probe, containerd, true), stage)
		})
	}
}

func killed(s *scene, stage stage) {
	s.t.Helper()
	stage.bring(s)
	before := s.programs()
	s.kill()
	s.openGate()
	s.start("")

	assert.Equal(s.t, s.inspect().Enabled, stage.enabled)
	if !stage.enabled {
		s.awaitNothingLeft()
		assert.NilError(s.t, s.enable())
	}
	s.awaitReady()
	s.check()
	assert.DeepEqual(s.t, s.programs(), []int{s.pid()})
	if stage.lives && s.LiveRestore {
		assert.DeepEqual(s.t, s.programs(), before)
	}
	assert.NilError(s.t, s.disable())
	s.awaitNothingLeft()
	s.stop()
}

// TestASecondSignalEndsAtOnce sends the second signal while plugins are being
// stopped.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	probe := executortest.BuildProbe(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newScene(t, probe, "", false)
			s.running(atSignal)
			s.askToEnd()
			s.awaitGate()
			assert.ErrorContains(t, s.finish(signal), signal.String())
			s.start("")
			s.check()
			assert.Assert(t, s.inspect().Enabled)
			s.awaitReady()
			assert.DeepEqual(t, s.programs(), []int{s.pid()})
			assert.NilError(t, s.disable())
			s.awaitNothingLeft()
			s.stop()
		})
	}
}

// TestLiveRestoreIsTurnedOnAndOff ends a plugind, by force or not, and starts
// the next with the other setting. The newer setting counts.
func TestLiveRestoreIsTurnedOnAndOff(t *testing.T) {
	probe := executortest.BuildProbe(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newScene(t, probe, "", false)
			s.running("")
			for _, on := range []bool{true, false, true} {
				before := s.programs()
				stays := s.LiveRestore || signal == syscall.SIGKILL
				_ = s.finish(signal)
				assert.Equal(t, len(s.programs()) == 1, stays)
				s.LiveRestore = on
				s.start("")
				s.awaitReady()
				s.check()
				after := s.programs()
				assert.DeepEqual(t, after, []int{s.pid()})
				assert.Equal(t, before[0] == after[0], on && stays)
			}
			assert.NilError(t, s.disable())
			s.awaitNothingLeft()
			s.stop()
		})
	}
}

// TestPlugindChangesItsPlace starts a plugind with another executor than the last
// one, which left its plugin running. The plugin then runs once, in the new place.
func TestPlugindChangesItsPlace(t *testing.T) {
	probe := executortest.BuildProbe(t)
	address := startContainerd(t)
	s := newScene(t, probe, "", true)
	s.running("")
	for _, containerd := range []string{address, ""} {
		before := s.programs()
		s.kill()
		assert.DeepEqual(t, s.programs(), before)
		s.Containerd = containerd
		s.startAfresh(before)
	}
	assert.NilError(t, s.disable())
	s.awaitNothingLeft()
	s.stop()
}

// TestPlugindLosesItsPlace deletes the exec root of a plugind that left its plugin
// running, and starts the next plugind with other flags.
func TestPlugindLosesItsPlace(t *testing.T) {
	probe := executortest.BuildProbe(t)
	address := startContainerd(t)
	for _, tc := range []struct {
		name, before, after, exec string
	}{
		{"another exec root", "", "", "other"},
		{"another exec root, containerd", address, address, "other"},
		{"from containerd to runc", address, "", ""},
		{"from runc to containerd", "", address, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, probe, tc.before, true)
			s.running("")
			before, gone := s.programs(), s.execRoot()
			s.kill()
			assert.NilError(t, os.RemoveAll(gone))
			s.Containerd, s.Exec = tc.after, tc.exec
			s.startAfresh(before)
			if s.execRoot() != gone {
				_, err := os.Stat(gone)
				assert.ErrorIs(t, err, os.ErrNotExist)
			}
			assert.NilError(t, s.disable())
			s.awaitNothingLeft()
			s.stop()
		})
	}
}

// TestASecondPlugindEndsNothing deletes the exec root of a plugind that runs. Another
// one with the same root and other flags is refused, and leaves its plugin alone.
func TestASecondPlugindEndsNothing(t *testing.T) {
	probe := executortest.BuildProbe(t)
	for _, containerd := range []string{startContainerd(t), ""} {
		s := newScene(t, probe, containerd, true)
		s.running("")
		before := s.programs()
		assert.NilError(t, os.RemoveAll(s.execRoot()))
		second := s.gate
		second.Exec = "other"
		o := second.options()
		o.host += "2"
		_, err := newDaemon(t.Context(), o)
		assert.ErrorContains(t, err, "plugins")
		assert.DeepEqual(t, s.programs(), before)
		assert.NilError(t, s.disable())
		s.stop()
	}
}

// startAfresh starts plugind, and checks that the plugin runs once, as another
// process than before.
func (s *scene) startAfresh(before []int) {
	s.t.Helper()
	s.start("")
	s.awaitReady()
	after := s.programs()
	assert.DeepEqual(s.t, after, []int{s.pid()})
	assert.Assert(s.t, after[0] != before[0])
}

// TestPlugindCannotEndWhatRunsElsewhere stops the shim of a plugin that was left, so
// that the next plugind, which has another executor, can't end it. That plugind ends
// instead of starting the plugin once more. With a shim that answers it starts.
func TestPlugindCannotEndWhatRunsElsewhere(t *testing.T) {
	probe := executortest.BuildProbe(t)
	s := newScene(t, probe, startContainerd(t), true)
	s.running("")
	before := s.programs()
	s.kill()
	shim := testenv.ParentOf(t, before[0])
	assert.NilError(t, unix.Kill(shim, unix.SIGSTOP))
	t.Cleanup(func() { _ = unix.Kill(shim, unix.SIGCONT) })
	s.Containerd = ""
	s.launch("")
	assert.ErrorContains(t, s.awaitFinish(), "exit status 1")
	assert.Assert(t, is.Contains(s.log.String(), "end plugins that run elsewhere"))
	assert.DeepEqual(t, s.programs(), before)

	assert.NilError(t, unix.Kill(shim, unix.SIGCONT))
	s.startAfresh(before)
	assert.NilError(t, s.disable())
	s.awaitNothingLeft()
	s.stop()
}
