// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// onStep handles a step of supervisor s, on its goroutine. A step of an earlier
// supervisor, or a step that the state does not allow, changes nothing.
func (u *unit) onStep(s *supervise.Supervisor, event lifecycle.Event, err error, wait time.Duration) {
	var exit *ExitStatus
	switch event {
	case lifecycle.Defer:
		err = u.explain(err)
	case lifecycle.Exit:
		exit = u.lastExit()
	}
	restarted, ok := u.advance(s, event, err, exit, wait)
	if !ok {
		return
	}
	logger := u.logger()
	switch event {
	case lifecycle.Exit:
		logger.WithField("exitCode", exit.Code).WithField("oomKilled", exit.OOMKilled).Warnf("plugin exited, restarting it in %s", wait.Round(time.Millisecond))
		u.host.events.Publish(EventExited{Plugin: u.plugin.Snapshot(), Exit: *exit})
	case lifecycle.Defer:
		logger.WithError(err).Warnf("plugin did not start, retrying in %s", wait.Round(time.Millisecond))
		u.host.events.Publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	case lifecycle.Stopped:
		u.host.observer.forgetOrphan(u)
	case lifecycle.Stick:
		logger.WithError(err).Error("plugin is not stopped yet, retrying")
	case lifecycle.Ready:
		logger.Debug("plugin is ready")
		if u.plugin.IsEnabled() {
			u.callHandlers()
		}
		if restarted {
			u.host.events.Publish(EventRestarted{Plugin: u.plugin.Snapshot()})
		}
	}
}

// advance changes state and history in one step. After the last step of a
// supervisor it clears u.supervisor, and makes a new one if the plugin is enabled.
func (u *unit) advance(s *supervise.Supervisor, event lifecycle.Event, err error, exit *ExitStatus, wait time.Duration) (restarted, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.supervisor != s || u.fireLocked(event) != nil {
		return false, false
	}
	restarted = u.history.recordLocked(event, err, exit, wait)
	if event == lifecycle.Stopped {
		u.supervisor = nil
		if u.plugin.IsEnabled() && !u.closed {
			u.restartLocked()
		}
	}
	return restarted, true
}

// exited passes an exit report to the supervisor. It takes no lock that is held
// across I/O and does not call the executor, because executors report from inside
// Signal, with their locks held.
func (u *unit) exited() {
	u.mu.Lock()
	s := u.supervisor
	u.mu.Unlock()
	if s != nil {
		s.Exited()
	}
}

// callHandlers calls the daemon's handlers on a separate goroutine, so that they
// may call any verb.
func (u *unit) callHandlers() {
	returned := make(chan struct{})
	u.mu.Lock()
	u.handlers = returned
	u.mu.Unlock()
	u.host.callbacks.Start(func() {
		defer close(returned)
		u.guard(func() { u.host.config.Store.CallHandler(u.plugin) })
	})
}

// awaitHandlers waits until the handlers of the newest start have returned, or
// Shutdown begins.
func (u *unit) awaitHandlers() {
	u.mu.Lock()
	returned := u.handlers
	u.mu.Unlock()
	if returned == nil {
		return
	}
	select {
	case <-returned:
	case <-u.host.halted.Done():
	}
}

// guard calls code of the daemon, and logs a panic in it.
func (u *unit) guard(call func()) {
	if err := bounded.Protect(func() error { call(); return nil }); err != nil {
		u.logPanic(err)
	}
}
