// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"time"

	"github.com/dovetailhq/plugin/internal/lifecycle"
)

// firstMoments bounds how long a caller waits for a plugin that has just begun to
// start or has just exited. A crashed plugin is restarted after 0.1 s; with runc
// a start takes 30 ms and the time that the plugin itself needs.
const firstMoments = 2 * time.Second

// availability notes when the plugin went down, and wakes callers that wait for
// it. unit.mu guards it.
type availability struct {
	down    time.Time     // when the plugin was loaded, began to start or exited
	changed chan struct{} // closed at the next change of state; nil while no caller waits
}

// moved notes a change of state.
func (a *availability) moved(event lifecycle.Event) {
	if event == lifecycle.Enable || event == lifecycle.Exit {
		a.down = time.Now()
	}
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// nextChange returns a channel that is closed at the next change of state.
func (a *availability) nextChange() <-chan struct{} {
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

// available returns nil when the plugin serves, and an [UnavailableError] when
// it does not. It waits for a plugin in its first moments, but not beyond
// limit. It returns nil for a plugin that is disabled, which the caller checks.
func (u *unit) available(limit time.Time) error {
	for {
		unavailable, deadline, changed := u.unavailable()
		if unavailable == nil || !u.plugin.IsEnabled() {
			return nil
		}
		if deadline.After(limit) {
			deadline = limit
		}
		if !u.awaitChange(changed, time.Until(deadline)) {
			return unavailable
		}
	}
}

// unavailable returns nil for a plugin that serves. Else it returns the reason,
// the deadline of a wait, and a channel that is closed at the next change.
func (u *unit) unavailable() (err *UnavailableError, deadline time.Time, changed <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state == lifecycle.Running {
		return nil, deadline, nil
	}
	err = &UnavailableError{
		Name:      u.plugin.Name(),
		State:     u.state.String(),
		LastExit:  u.history.lastExit,
		LastError: u.history.lastError,
	}
	deadline = u.availability.down.Add(firstMoments)
	if u.state == lifecycle.Backoff {
		err.NextRetry = u.history.nextRetry
		if err.NextRetry.After(deadline) {
			deadline = time.Time{}
		}
	}
	return err, deadline, u.availability.nextChange()
}

// awaitChange reports whether changed was closed within wait. A shutdown ends the
// wait.
func (u *unit) awaitChange(changed <-chan struct{}, wait time.Duration) bool {
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-changed:
		return true
	case <-timer.C:
	case <-u.host.halted.Done():
	}
	return false
}

// reach publishes address and client before any run, because callers use both
// as soon as the plugin is enabled. A plugin that can't be reached has neither,
// and the Store does not return it.
func (u *unit) reach() {
	if err := u.process.connect(); err != nil && u.plugin.IsEnabled() {
		u.history.lastError = err.Error() // until a start reports it as well
	}
}
