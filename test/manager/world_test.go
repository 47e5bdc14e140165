// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"testing"

	"github.com/dovetailhq/plugin/internal/testworld"
)

// world adds what only these tests need.
type world struct{ *testworld.World }

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{testworld.New(t)}
}

func (w *world) start() *world {
	w.T.Helper()
	w.Start()
	return w
}

func (w *world) restart() *world {
	w.T.Helper()
	w.Restart()
	return w
}
