// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
)

func testCreateStarts(h *host) {
	r := h.create(h.newID(), "out=up", "wait=")
	h.assertRunning(r.id, true)
	r.stdout.awaitLine(h.t, "up")

	reporter, ok := h.executor.(pidReporter)
	if !ok {
		return
	}
	pid, ok := reporter.Pid(r.id)
	if !ok {
		h.t.Fatal("Pid of a living run is unknown")
	}
	if err := syscall.Kill(pid, 0); err != nil {
		h.t.Errorf("Pid = %d, which is not a process: %v", pid, err)
	}
	h.signal(r.id, syscall.SIGKILL)
	r.ended(1)
	if pid, ok := reporter.Pid(r.id); ok {
		h.t.Errorf("Pid = %d of a run that ended", pid)
	}
}

func testOutputFlows(h *host) {
	step, pull := h.trigger("next")
	r := h.create(h.newID(), "out=first", "err=first error", step, "out=second", "err=second error", "wait=")
	r.stdout.awaitLine(h.t, "first")
	r.stderr.awaitLine(h.t, "first error")
	pull()
	r.stdout.awaitLine(h.t, "second")
	r.stderr.awaitLine(h.t, "second error")
}

func testOutputIsComplete(h *host) {
	const count = 20_000
	r := h.create(h.newID(), "err=error", fmt.Sprintf("lines=%d", count), "raw=unfinished")
	stdout, stderr := r.ended(1)
	var want strings.Builder
	for i := range count {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	want.WriteString("unfinished")
	if stdout != want.String() {
		h.t.Errorf("stdout has %d bytes, want %d; it ends with %q", len(stdout), want.Len(), stdout[max(0, len(stdout)-60):])
	}
	if stderr != "error\n" {
		h.t.Errorf("stderr = %q, want %q", stderr, "error\n")
	}
}

func testUnknownID(h *host) {
	id := h.newID()
	h.assertRunning(id, false)
	if err := h.executor.Signal(id, syscall.SIGTERM); err == nil {
		h.t.Error("Signal to an unknown ID succeeded")
	}
	if reporter, ok := h.executor.(exitReporter); ok {
		if code, _, known := reporter.LastExit(id); known {
			h.t.Errorf("LastExit = %d of an unknown ID", code)
		}
	}
	if reporter, ok := h.executor.(pidReporter); ok {
		if pid, known := reporter.Pid(id); known {
			h.t.Errorf("Pid = %d of an unknown ID", pid)
		}
	}
}

func testManyRuns(h *host) {
	const count = 8
	runs := make([]*run, count)
	for i := range runs {
		runs[i] = &run{h: h, id: h.newID(), stdout: h.newStream(), stderr: h.newStream()}
		h.attached[runs[i].id] = true
	}
	errs := make([]error, count)
	var group sync.WaitGroup
	for i, r := range runs {
		spec := Spec(h.newRootfs(), fmt.Sprintf("out=run %d", i), "wait=")
		group.Go(func() {
			errs[i] = h.executor.Create(r.id, spec, r.stdout, r.stderr)
		})
	}
	group.Wait()
	for i, r := range runs {
		if errs[i] != nil {
			h.t.Fatalf("Create of run %d: %v", i, errs[i])
		}
		r.stdout.awaitLine(h.t, fmt.Sprintf("run %d", i))
	}

	h.signal(runs[0].id, syscall.SIGTERM)
	runs[0].ended(1)
	for i, r := range runs[1:] {
		h.assertRunning(r.id, true)
		if count := h.exitCount(r.id); count != 0 {
			h.t.Errorf("the end of run 0 was reported for run %d", i+1)
		}
	}
}
