// SPDX-License-Identifier: Apache-2.0

//go:build linux

package executortest

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// host is a machine with one executor and a daemon that can be restarted. Every test
// of the kit has its own host.
type host struct {
	t        *testing.T
	subject  Subject
	probe    string
	state    string
	rootfs   string
	executor Executor
	detach   func()
	ids      []string
	attached map[string]bool
	fifos    []*os.File

	mu      sync.Mutex
	exits   []string
	changed chan struct{}
}

// newHost starts an executor in an empty directory. At the end of the test the
// executor and all runs end, and nothing may be left behind.
func newHost(t *testing.T, subject Subject, probe string) *host {
	t.Helper()
	verifyNoLeaks(t, subject.Patience)
	h := &host{t: t, subject: subject, probe: probe, state: t.TempDir(), changed: make(chan struct{})}
	h.attached = make(map[string]bool)
	h.rootfs = h.newRootfs()
	h.start()
	t.Cleanup(h.stop)
	return h
}

// newRootfs makes a rootfs with the program, because each plugin has its own.
func (h *host) newRootfs() (rootfs string) {
	h.t.Helper()
	rootfs = h.t.TempDir()
	if err := os.Link(filepath.Join(h.probe, probePath), filepath.Join(rootfs, probePath)); err != nil {
		h.t.Fatal(err)
	}
	return rootfs
}

// start starts the executor, like a starting daemon.
func (h *host) start() {
	h.t.Helper()
	h.executor, h.detach = h.subject.New(h.t, h.state, h.exited)
}

// crash detaches the executor. Runs continue.
func (h *host) crash() {
	h.t.Helper()
	h.detach()
	h.detach = nil
	clear(h.attached)
}

func (h *host) restart() {
	h.t.Helper()
	h.crash()
	h.start()
}

// stop kills all living runs and waits until the executor has noticed.
func (h *host) stop() {
	if h.detach == nil {
		h.start()
	}
	for _, id := range h.ids {
		h.kill(id)
	}
	h.crash()
	for _, fifo := range h.fifos {
		fifo.Close()
	}
}

func (h *host) kill(id string) {
	if !h.attached[id] {
		alive, err := h.executor.Restore(id, h.newStream(), h.newStream())
		if err != nil {
			h.t.Errorf("Restore(%s) while cleaning up: %v", id, err)
		}
		if !alive {
			return
		}
	}
	alive, err := h.isRunning(id)
	if err != nil {
		h.t.Errorf("IsRunning(%s) while cleaning up: %v", id, err)
	}
	if !alive {
		return
	}
	before := h.exitCount(id)
	if err := h.executor.Signal(id, syscall.SIGKILL); err != nil {
		h.t.Errorf("Signal(%s, SIGKILL) while cleaning up: %v", id, err)
		return
	}
	h.awaitExits(id, before+1)
}

func (h *host) exited(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exits = append(h.exits, id)
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *host) exitCount(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.exitCountLocked(id)
}

func (h *host) exitCountLocked(id string) int {
	count := 0
	for _, exited := range h.exits {
		if exited == id {
			count++
		}
	}
	return count
}

// awaitExits waits until count exits of id were reported since newHost.
func (h *host) awaitExits(id string, count int) {
	h.t.Helper()
	limit := time.NewTimer(h.subject.Patience)
	defer limit.Stop()
	for {
		h.mu.Lock()
		reported, changed := h.exitCountLocked(id), h.changed
		h.mu.Unlock()
		if reported >= count {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			h.t.Fatalf("waited %v for exit report %d of %s: got %d", h.subject.Patience, count, id, reported)
		}
	}
}

// awaitDeath waits until a run that is not attached is dead. It polls IsRunning,
// because the files of the run are closed shortly before its end, and no event
// reports the end itself.
func (h *host) awaitDeath(id string) {
	h.t.Helper()
	limit := time.NewTimer(h.subject.Patience)
	defer limit.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		alive, err := h.isRunning(id)
		if err != nil {
			h.t.Fatalf("IsRunning: %v", err)
		}
		if !alive {
			return
		}
		select {
		case <-again.C:
		case <-limit.C:
			h.t.Fatalf("IsRunning is still true %v after the run ended", h.subject.Patience)
		}
	}
}
