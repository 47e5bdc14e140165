// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import "syscall"

func testEndsByItself(h *host) {
	step, pull := h.trigger("end")
	r := h.create(h.newID(), step, "out=bye")
	h.assertRunning(r.id, true)
	if count := h.exitCount(r.id); count != 0 {
		h.t.Fatal("an exit of a living run was reported")
	}
	pull()
	stdout, _ := r.ended(1)
	if stdout != "bye\n" {
		h.t.Errorf("stdout = %q, want %q", stdout, "bye\n")
	}
	h.assertExitCode(r.id, 0, false)
	if err := h.executor.Signal(r.id, syscall.SIGTERM); err == nil {
		h.t.Error("Signal to a dead run succeeded")
	}
}

func testEndsWithCode(h *host) {
	r := h.create(h.newID(), "err=no such host", "exit=3")
	if _, stderr := r.ended(1); stderr != "no such host\n" {
		h.t.Errorf("stderr = %q, want %q", stderr, "no such host\n")
	}
	h.assertExitCode(r.id, 3, false)
}

func testEndsBySIGTERM(h *host) {
	r := h.create(h.newID(), "out=up", "wait=", "exit=1")
	r.stdout.awaitLine(h.t, "up")
	h.signal(r.id, syscall.SIGTERM)
	r.ended(1)
	h.assertExitCode(r.id, 0, false)
}

func testEndsBySIGKILL(h *host) {
	step, pull := h.trigger("next")
	r := h.create(h.newID(), "ignore=TERM", "out=up", step, "out=still there", "wait=")
	r.stdout.awaitLine(h.t, "up")
	h.signal(r.id, syscall.SIGTERM)
	pull()
	r.stdout.awaitLine(h.t, "still there")
	h.assertRunning(r.id, true)
	h.signal(r.id, syscall.SIGKILL)
	r.ended(1)
	h.assertExitCode(r.id, 128+9, false)
}

func testIDIsUsedAgain(h *host) {
	id := h.newID()
	for round, code := range []string{"exit=1", "exit=2"} {
		r := h.create(id, "out=again", code)
		if stdout, _ := r.ended(round + 1); stdout != "again\n" {
			h.t.Errorf("stdout of round %d = %q, want %q", round, stdout, "again\n")
		}
		h.assertExitCode(id, round+1, false)
	}
}

func testChildEnds(h *host) {
	r := h.create(h.newID(), "run=out=from the child,exit=5", "out=child ended", "wait=")
	r.stdout.awaitLine(h.t, "from the child")
	r.stdout.awaitLine(h.t, "child ended")
	h.assertRunning(r.id, true)
	h.signal(r.id, syscall.SIGKILL)
	r.ended(1)
	if count := h.exitCount(r.id); count != 1 {
		h.t.Errorf("%d exits were reported, want only that of the main process", count)
	}
	h.assertExitCode(r.id, 128+9, false)
}

// testChildLivesOn starts a child that holds the streams open and outlives the main
// process, if the executor allows that.
func testChildLivesOn(h *host) {
	r := h.create(h.newID(), "spawn=ignore=TERM,out=child up,wait=", "wait=", "exit=1")
	r.stdout.awaitLine(h.t, "child up")
	h.signal(r.id, syscall.SIGTERM)
	r.ended(1)
	h.assertExitCode(r.id, 0, false)
}
