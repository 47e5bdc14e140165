package plugin

import (
	"time"

	"github.com/dovetailhq/plugin/internal/lifecycle"
)

// firstMoments is how long a caller waits for a plugin that has just begun to
// start, or whose process has just exited. A plugin that crashed serves again
// after 0.1 s; with runc a start takes 30 ms and what the plugin itself needs.
const firstMoments = 2 * time.Second

// availability is what a unit knows about its plugin's being called.
// unit.mu guards it.
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

// unavailable returns nil for a plugin that serves, else why it does not, until
// when it is worth to wait, and what is closed at the next change.
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

// awaitChange reports whether changed was closed within a time. The end of the
// manager ends the wait.
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
	case <-u.manager.halted.Done():
	}
	return false
}

// reach makes the address and the client known before any run: callers use both
// as soon as the plugin is enabled. A plugin that can't be reached has neither,
// and the Store does not give it out.
func (u *unit) reach() {
	err := u.plugin.Validate()
	if err == nil {
		err = u.process.connect()
	}
	if err != nil && u.plugin.IsEnabled() {
		u.history.lastError = err.Error() // until a start reports it as well
	}
}
