//go:build linux

package main

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// stage is where a plugind is killed.
type stage struct {
	name  string
	bring func(s *scene)
	// enabled is what the plugin is after the kill, and lives whether its
	// process does.
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

// slow are the steps of a plugin that has to be let go before it listens.
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

// booting stops a second plugind as it starts, after an end of the first.
func booting(at string, end func(s *scene)) func(s *scene) {
	return func(s *scene) {
		s.running("")
		end(s)
		s.launch(at)
		s.awaitGate()
	}
}

// running starts a plugind with a plugin that is enabled.
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
	awaitEnd(s.t, pid)
}

// TestKilledInEveryStage kills plugind where it matters. The next one finds
// the plugin as it is wished to be, takes the process over if it shall and
// can, and leaves nothing when the plugin was disabled.
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
		// To end a container that is half made for a client that died is up to
		// containerd.
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

// TestASecondSignalEndsAtOnce sends it while plugins are being stopped.
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

// TestLiveRestoreIsTurnedOnAndOff ends each plugind, by force or not, before
// one with the other setting: the newer one's counts.
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
