package plugin

import (
	"time"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// onStep takes a step of supervisor s, on its goroutine. A step that comes when
// the plugin is being stopped, or of an earlier supervisor, changes nothing.
func (u *unit) onStep(s *supervise.Supervisor, event lifecycle.Event, err error, wait time.Duration) {
	var exit *Exit
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
		logger.WithField("exitCode", exit.Code).WithField("oomKilled", exit.OOMKilled).Warnf("plugin exited, starting it again in %s", wait.Round(time.Millisecond))
		u.manager.events.publish(EventExited{Plugin: u.plugin.Snapshot(), Exit: *exit})
	case lifecycle.Defer:
		logger.WithError(err).Warnf("plugin did not start, trying again in %s", wait.Round(time.Millisecond))
		u.manager.events.publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	case lifecycle.Stopped:
		u.manager.forgetOrphan(u)
	case lifecycle.Stick:
		logger.WithError(err).Error("plugin is not stopped yet, trying again")
	case lifecycle.Ready:
		logger.Debug("plugin is ready")
		if u.plugin.IsEnabled() {
			u.callHandlers()
		}
		if restarted {
			u.manager.events.publish(EventRestarted{Plugin: u.plugin.Snapshot()})
		}
	}
}

// advance changes state and history in one step. With its last step a
// supervisor is let go; an enabled plugin then gets the next one.
func (u *unit) advance(s *supervise.Supervisor, event lifecycle.Event, err error, exit *Exit, wait time.Duration) (restarted, ok bool) {
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

// exited passes an exit report on. It takes no lock that is held across I/O,
// and calls no executor: reports come from inside Signal, with locks held.
func (u *unit) exited() {
	u.mu.Lock()
	s := u.supervisor
	u.mu.Unlock()
	if s != nil {
		s.Exited()
	}
}

// callHandlers calls the daemon's handlers on a goroutine of their own, from
// which they may call any verb.
func (u *unit) callHandlers() {
	returned := make(chan struct{})
	u.mu.Lock()
	u.handlers = returned
	u.mu.Unlock()
	u.manager.callbacks.start(func() {
		defer close(returned)
		u.guard(func() { u.manager.config.Store.CallHandler(u.plugin) })
	})
}

// awaitHandlers returns when the handlers of the newest start have returned,
// or the manager ends.
func (u *unit) awaitHandlers() {
	u.mu.Lock()
	returned := u.handlers
	u.mu.Unlock()
	if returned == nil {
		return
	}
	select {
	case <-returned:
	case <-u.manager.halted.Done():
	}
}

// guard calls code of the daemon. A panic there ends no daemon.
func (u *unit) guard(call func()) {
	if err := supervise.Protect(func() error { call(); return nil }); err != nil {
		u.logPanic(err)
	}
}
