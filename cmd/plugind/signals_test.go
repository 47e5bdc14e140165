//go:build linux

package main

import (
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// TestSignalsEndCleanly ends a plugind whose plugin runs by each signal that
// ends it. The end of a terminal is one: nothing would manage the plugins any
// more.
func TestSignalsEndCleanly(t *testing.T) {
	probe := executortest.BuildProbe(t)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			s := newScene(t, probe, "", false)
			s.running("")
			assert.NilError(t, s.finish(signal))
			assert.Equal(t, len(s.programs()), 0)
			s.check()
		})
	}
}

// TestNohupIsRespected closes the terminal of a plugind under nohup(1).
func TestNohupIsRespected(t *testing.T) {
	s := newScene(t, executortest.BuildProbe(t), "", false)
	s.wrapper = []string{"nohup"}
	s.running("")
	assert.NilError(t, s.daemon.Process.Signal(syscall.SIGHUP))
	assert.Assert(t, s.inspect().Enabled)
	assert.Equal(t, len(s.programs()), 1)
	s.stop()
}
