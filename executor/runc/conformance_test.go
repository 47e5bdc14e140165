// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"testing"

	"github.com/dovetailhq/plugin/plugintest/executortest"
)

func TestConformance(t *testing.T) {
	for _, runtime := range []string{"runc", "crun"} {
		t.Run(runtime, func(t *testing.T) {
			executortest.Run(t, executortest.Subject{
				New: func(t *testing.T, state string, exits func(id string)) (executortest.Executor, func()) {
					e := newExecutor(t, runtime, state, handler(exits))
					return e, func() { e.Close() }
				},
			})
		})
	}
}
