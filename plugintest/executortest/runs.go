// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"slices"
	"syscall"
)

// testRuns checks Runs while a run is alive, after its daemon has ended, and after the
// run has ended. An executor with another directory never lists the run.
func testRuns(h *host) {
	if _, ok := h.executor.(runLister); !ok {
		return
	}
	other, detach := h.subject.New(h.t, h.t.TempDir(), func(string) {})
	defer detach()
	living, over := h.newID(), h.newID()
	h.create(over).ended(1)
	h.create(living, "out=up", "wait=")
	h.assertRuns(h.executor, living)
	h.assertRuns(other)
	h.crash()
	h.assertRuns(other)
	h.start()
	h.assertRuns(h.executor, living)
	r := h.restore(living, true)
	h.assertRuns(h.executor, living)
	h.signal(living, syscall.SIGKILL)
	r.ended(1)
	h.assertRuns(h.executor)
}

func (h *host) assertRuns(executor Executor, want ...string) {
	h.t.Helper()
	runs, err := executor.(runLister).Runs()
	if err != nil || !slices.Equal(runs, want) {
		h.t.Errorf("Runs = (%q, %v), want %q", runs, err, want)
	}
}
