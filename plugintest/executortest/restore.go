// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"fmt"
	"syscall"

	"github.com/containerd/errdefs"
)

func testCreateReplaces(h *host) {
	alive, awaitEnd := h.lifeline("alive")
	id := h.newID()
	left := h.create(id, alive, "out=left behind", "ignore=TERM", "wait=")
	left.stdout.awaitLine(h.t, "left behind")
	h.restart()

	fresh := h.create(id, "out=fresh", "wait=")
	awaitEnd()
	fresh.stdout.awaitLine(h.t, "fresh")
	h.assertRunning(id, true)

	before := h.exitCount(id)
	h.signal(id, syscall.SIGKILL)
	if stdout, _ := fresh.ended(before + 1); stdout != "fresh\n" {
		h.t.Errorf("stdout = %q, want only that of the new run", stdout)
	}
}

// testRestoreAttended restores a run twice. The streams of the first call continue to
// get its output.
func testRestoreAttended(h *host) {
	step, pull := h.trigger("next")
	r := h.create(h.newID(), step, "out=to the first", "wait=")
	stdout, stderr := h.newStream(), h.newStream()
	alive, err := h.executor.Restore(r.id, stdout, stderr)
	if alive || !errdefs.IsConflict(err) {
		h.t.Errorf("Restore = (%v, %v), want an error of class conflict", alive, err)
	}
	stdout.assertClosedOnce(h.t)
	stderr.assertClosedOnce(h.t)
	pull()
	r.stdout.awaitLine(h.t, "to the first")
	h.signal(r.id, syscall.SIGKILL)
	r.ended(1)
}

func testRestoreUnknown(h *host) {
	r := h.restore(h.newID(), false)
	r.stdout.assertClosedOnce(h.t)
	r.stderr.assertClosedOnce(h.t)
}

func testRestoreDead(h *host) {
	alive, awaitEnd := h.lifeline("alive")
	step, pull := h.trigger("end")
	id := h.newID()
	r := h.create(id, alive, "out=up", step, "exit=4")
	r.stdout.awaitLine(h.t, "up")
	h.crash()
	pull()
	awaitEnd()
	h.start()
	h.awaitDeath(id)

	dead := h.restore(id, false)
	dead.stdout.assertClosedOnce(h.t)
	dead.stderr.assertClosedOnce(h.t)
	h.assertRunning(id, false)
	before := h.exitCount(id)
	h.create(id, "out=again").ended(before + 1)
}

// testRestoreLiving restarts the daemon of a run that writes before, during and after
// the restart.
func testRestoreLiving(h *host) {
	between, writeBetween := h.trigger("between")
	written, awaitWritten := h.notice("written")
	after, writeAfter := h.trigger("after")
	id := h.newID()
	r := h.create(id, "out=before", between, "out=between", "err=error between", written, after, "out=after", "wait=", "exit=1")
	r.stdout.awaitLine(h.t, "before")

	h.crash()
	writeBetween()
	awaitWritten()
	h.start()
	h.assertRunning(id, true)

	restored := h.restore(id, true)
	h.assertRunning(id, true)
	restored.stdout.awaitLine(h.t, "between")
	restored.stderr.awaitLine(h.t, "error between")
	writeAfter()
	restored.stdout.awaitLine(h.t, "after")
	if count := h.exitCount(id); count != 0 {
		h.t.Fatal("an exit of a living run was reported")
	}

	h.signal(id, syscall.SIGTERM)
	stdout, stderr := restored.ended(1)
	if stdout != "between\nafter\n" || stderr != "error between\n" {
		h.t.Errorf("restored streams = %q and %q, want the output since the restart", stdout, stderr)
	}
	h.assertExitCode(id, 0, true)
	h.create(id, "out=again").ended(2)
}

func testRestoreAgain(h *host) {
	const restarts = 3
	id := h.newID()
	steps := []string{"out=up"}
	var pulls []func()
	for i := range restarts {
		step, pull := h.trigger(fmt.Sprintf("restart%d", i))
		steps = append(steps, step, fmt.Sprintf("out=restart %d", i))
		pulls = append(pulls, pull)
	}
	r := h.create(id, append(steps, "exit=6")...)
	r.stdout.awaitLine(h.t, "up")
	for i, pull := range pulls {
		h.restart()
		r = h.restore(id, true)
		pull()
		r.stdout.awaitLine(h.t, fmt.Sprintf("restart %d", i))
	}
	r.ended(1)
	h.assertExitCode(id, 6, true)
}
