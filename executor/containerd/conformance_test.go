// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"testing"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// handler is an exit handler that calls a function.
type handler func(id string)

func (h handler) HandleExitEvent(id string) error {
	h(id)
	return nil
}

func TestConformance(t *testing.T) {
	d := startDaemon(t)
	executortest.Run(t, executortest.Subject{
		New: func(t *testing.T, state string, exits func(id string)) (executortest.Executor, func()) {
			e := d.newExecutor(state, handler(exits))
			return e, func() { e.Close() }
		},
	})
}
