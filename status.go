package plugin

import (
	"time"

	"github.com/dovetailhq/plugin/internal/lifecycle"
)

// Status is what is really the case with a plugin, beyond the desired one that
// Inspect shows.
type Status struct {
	ID   string
	Name string
	// State is disabled, starting, running, backoff, stopping, upgrading,
	// removing, removed, or broken for a plugin whose record can't be read.
	State string
	// Since is when the plugin came into this state, or was loaded.
	Since time.Time
	// Pid is the main process, 0 when there is none or the executor does not
	// tell.
	Pid int `json:",omitempty"`
	// Restarts counts how often the plugin was started again by itself since
	// it was enabled or loaded.
	Restarts int
	// LastExit is how the process ended last by itself; nil if it never did.
	LastExit *Exit `json:",omitempty"`
	// LastError is why the last start failed; empty after one that succeeded.
	LastError string `json:",omitempty"`
	// NextRetry is when a plugin in backoff is started again.
	NextRetry *time.Time `json:",omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, 128+n for signal n, and -1 when it is not known.
	Code      int
	OOMKilled bool
	At        time.Time
}

// Status tells how a plugin is. It does not wait for verbs under way. Broken
// plugins are found by id.
func (pm *Manager) Status(refOrID string) (_ *Status, retErr error) {
	defer plain(&retErr)
	u, err := pm.unit(refOrID)
	if err != nil {
		return nil, err
	}
	status := u.status()
	return &status, nil
}

// history is what a unit remembers for its status. unit.mu guards it.
type history struct {
	since     time.Time
	down      bool // it ended, or did not start, since it was ready
	restarts  int
	lastExit  *Exit
	lastError string
	nextRetry time.Time
}

// status asks the executor with no lock held: it may be about to report an
// exit under a lock of its own.
func (u *unit) status() Status {
	pid := u.pid()
	u.mu.Lock()
	defer u.mu.Unlock()
	status := Status{
		ID:        u.plugin.GetID(),
		Name:      u.plugin.Name(),
		State:     u.state.String(),
		Since:     u.history.since,
		Pid:       pid,
		Restarts:  u.history.restarts,
		LastExit:  u.history.lastExit,
		LastError: u.history.lastError,
	}
	if u.broken != nil {
		status.State, status.LastError = "broken", u.broken.Error()
	}
	if u.state == lifecycle.Backoff {
		next := u.history.nextRetry
		status.NextRetry = &next
	}
	return status
}

// recordLocked notes what the supervisor reports; the caller holds unit.mu. It
// returns true for a Ready that ends a time of being down.
func (h *history) recordLocked(event lifecycle.Event, err error, exit *Exit, wait time.Duration) (restarted bool) {
	now := time.Now()
	switch event {
	case lifecycle.Exit:
		h.lastExit, h.down, h.nextRetry = exit, true, now.Add(wait)
	case lifecycle.Defer:
		h.lastError, h.down, h.nextRetry = err.Error(), true, now.Add(wait)
	case lifecycle.Refuse, lifecycle.Stick:
		h.lastError = err.Error()
	case lifecycle.Ready:
		restarted = h.down
		if restarted {
			h.restarts++
		}
		h.lastError, h.down = "", false
	}
	return restarted
}

// remember notes why a start failed that a user asked for.
func (u *unit) remember(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.history.lastError = err.Error()
}
