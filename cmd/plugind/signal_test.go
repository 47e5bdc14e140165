// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// The signal ends the context that plugind gives the executor. Both executors
// still stop their plugins, and no process stays.
func TestASignalStopsPlugins(t *testing.T) {
	probe := executortest.BuildProbe(t)
	for name, containerd := range map[string]string{"runc": "", "containerd": startContainerd(t)} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, probe, containerd, false)
			s.running("")
			pid := s.pid()
			assert.DeepEqual(t, s.programs(), []int{pid})
			s.stop()
			assert.Equal(t, len(s.programs()), 0)
			s.awaitNothingLeft()
		})
	}
}
