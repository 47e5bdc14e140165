// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// TestSignalsEndCleanly sends each signal that ends plugind, while its plugin
// runs. SIGHUP is one, because no daemon would manage the plugins after the
// terminal is closed.
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

// TestSecondSignal sends two signals, the second during the shutdown by the first. A
// second SIGTERM or SIGINT ends plugind at once. A second SIGHUP does not, because
// bash and the kernel both send SIGHUP when a terminal is closed.
func TestSecondSignal(t *testing.T) {
	probe := executortest.BuildProbe(t)
	ending := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}
	for _, first := range ending {
		for _, second := range ending {
			t.Run(first.String()+", "+second.String(), func(t *testing.T) {
				s := newScene(t, probe, "", false)
				s.running(atClose)
				assert.NilError(t, s.daemon.Process.Signal(first))
				s.awaitGate()
				if second != syscall.SIGHUP {
					assert.ErrorContains(t, s.finish(second), second.String())
					return
				}
				assert.NilError(t, s.daemon.Process.Signal(second))
				s.openGate()
				assert.NilError(t, s.awaitFinish())
				s.check()
			})
		}
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
