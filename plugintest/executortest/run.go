// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"crypto/rand"
	"encoding/hex"
	"syscall"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// run is one started program with its streams.
type run struct {
	h              *host
	id             string
	stdout, stderr *stream
}

func (h *host) newStream() *stream {
	return newStream(h.subject.Patience)
}

// newID returns an ID in the form of plugin IDs.
func (h *host) newID() string {
	b := make([]byte, 32)
	rand.Read(b)
	id := hex.EncodeToString(b)
	h.ids = append(h.ids, id)
	return id
}

func (h *host) spec(steps ...string) specs.Spec {
	return Spec(h.rootfs, steps...)
}

// create starts a run of id with steps. It fails the test on error.
func (h *host) create(id string, steps ...string) *run {
	h.t.Helper()
	r := &run{h: h, id: id, stdout: h.newStream(), stderr: h.newStream()}
	if err := h.executor.Create(id, h.spec(steps...), r.stdout, r.stderr); err != nil {
		h.t.Fatalf("Create(%q): %v", steps, err)
	}
	h.attached[id] = true
	return r
}

// restore calls Restore for id. It fails the test on error or if the result is not
// wantAlive.
func (h *host) restore(id string, wantAlive bool) *run {
	h.t.Helper()
	r := &run{h: h, id: id, stdout: h.newStream(), stderr: h.newStream()}
	alive, err := h.executor.Restore(id, r.stdout, r.stderr)
	if err != nil || alive != wantAlive {
		h.t.Fatalf("Restore = (%v, %v), want (%v, nil)", alive, err, wantAlive)
	}
	h.attached[id] = alive
	return r
}

// ended waits for exit report number count, checks that the run has ended in every
// respect, and returns its output.
func (r *run) ended(count int) (stdout, stderr string) {
	r.h.t.Helper()
	r.h.awaitExits(r.id, count)
	r.h.assertRunning(r.id, false)
	r.stdout.assertClosedOnce(r.h.t)
	r.stderr.assertClosedOnce(r.h.t)
	return r.stdout.awaitClose(r.h.t), r.stderr.awaitClose(r.h.t)
}

// isRunning calls IsRunning. An executor may return an error of class NotFound for a
// run that does not exist.
func (h *host) isRunning(id string) (bool, error) {
	alive, err := h.executor.IsRunning(id)
	if !alive && errdefs.IsNotFound(err) {
		return false, nil
	}
	return alive, err
}

func (h *host) assertRunning(id string, want bool) {
	h.t.Helper()
	got, err := h.isRunning(id)
	if err != nil || got != want {
		h.t.Fatalf("IsRunning = (%v, %v), want (%v, nil)", got, err, want)
	}
}

func (h *host) signal(id string, signal syscall.Signal) {
	h.t.Helper()
	if err := h.executor.Signal(id, signal); err != nil {
		h.t.Fatalf("Signal(%v): %v", signal, err)
	}
}

// assertExitCode checks the exit code of the last ended run, if the executor returns
// exit codes. After a daemon restart the code may be unknown.
func (h *host) assertExitCode(id string, want int, restarted bool) {
	h.t.Helper()
	reporter, ok := h.executor.(exitReporter)
	if !ok {
		return
	}
	code, oomKilled, known := reporter.LastExit(id)
	if !known && restarted {
		return
	}
	if !known || code != want || oomKilled {
		h.t.Errorf("LastExit = (%d, %v, %v), want (%d, false, true)", code, oomKilled, known, want)
	}
}
