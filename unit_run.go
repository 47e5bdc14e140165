package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// The functions of this file bring the actual state in line with the desired
// one. Their callers hold the operation lock, unless they say otherwise.

// superviseLocked makes the supervisor and changes the state in one step. With
// keepTrying a first start that fails is retried, as at boot; a user's Enable
// gives up instead. The caller holds u.mu, and starts the supervisor.
func (u *unit) superviseLocked(event lifecycle.Event, keepTrying bool) (*supervise.Supervisor, error) {
	if u.closed {
		return nil, &FencedError{Root: u.manager.root.Dir()}
	}
	if err := u.fireLocked(event); err != nil {
		return nil, err
	}
	u.inherited = true
	u.history.restarts, u.history.down = 0, false
	config := u.manager.config
	var s *supervise.Supervisor
	s = supervise.New(supervise.Config{
		Process:      u.process,
		StartTimeout: config.StartTimeout,
		StopTimeout:  config.StopTimeout,
		Backoff:      config.Backoff,
		KeepTrying:   keepTrying,
		Changed:      func(event lifecycle.Event, err error, wait time.Duration) { u.onStep(s, event, err, wait) },
	})
	u.supervisor = s
	return s, nil
}

// startForUser starts the process, and returns once the plugin is ready or has
// failed; then it is disabled as before.
func (u *unit) startForUser() error {
	if err := u.stop(u.manager.ctx); err != nil {
		return err
	}
	u.mu.Lock()
	s, err := u.superviseLocked(lifecycle.Enable, false)
	u.mu.Unlock()
	if err != nil {
		return err
	}
	s.Start()
	if err = s.First(); err == nil {
		return nil
	}
	err = u.explain(err)
	u.remember(err)
	u.manager.events.publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	return err
}

// resume starts the process of a plugin that is enabled again, or leaves that
// to the supervisor that is still stopping it. It needs no operation lock.
func (u *unit) resume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.manager.config.Store.SetState(u.plugin, true)
	if u.supervisor == nil {
		u.restartLocked()
	}
}

func (u *unit) restartLocked() {
	s, err := u.superviseLocked(lifecycle.Enable, true)
	if err != nil {
		u.logger().WithError(err).Error("start plugin")
		return
	}
	s.Start()
}

// inherit takes charge of the process that an earlier manager may have left:
// it goes on, is replaced, or is stopped. It returns nil when a verb has done
// so already.
func (u *unit) inherit() *supervise.Supervisor {
	desired := u.plugin.IsEnabled()
	keep := u.manager.config.LiveRestoreEnabled && u.plugin.Validate() == nil
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inherited {
		return nil
	}
	if !desired {
		return u.endInheritedLocked()
	}
	s, err := u.superviseLocked(lifecycle.Enable, true)
	if err != nil {
		return nil
	}
	s.Recover(keep)
	return s
}

func (u *unit) endInheritedLocked() *supervise.Supervisor {
	s, err := u.superviseLocked(lifecycle.Inherit, false)
	if err != nil {
		return nil
	}
	s.End()
	return s
}

// stop ends supervision and the process, also one that an earlier manager
// left. After an error the plugin is stopping until its process is gone; stop
// can be called again. Without a process it does nothing.
func (u *unit) stop(ctx context.Context) error {
	u.mu.Lock()
	s := u.supervisor
	switch {
	case s != nil && u.state != lifecycle.Stopping:
		// From here on the supervisor's own steps come too late.
		_ = u.fireLocked(lifecycle.Disable)
	case s == nil && !u.inherited:
		s = u.endInheritedLocked()
	}
	u.mu.Unlock()
	if s == nil {
		return nil
	}
	if err := s.Stop(ctx); err != nil {
		return &StorageError{Op: "stop", Name: u.plugin.Name(), Err: err}
	}
	return nil
}

// interruptStart ends a start that a user asked for, so that its verb returns
// and gives the operation lock back. It reports whether there was one. It
// needs no operation lock.
func (u *unit) interruptStart(by string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != lifecycle.Starting || u.plugin.IsEnabled() {
		return false
	}
	cause := &BusyError{Name: u.plugin.Name(), Err: errors.New("its start was interrupted by " + by)}
	return u.supervisor.Interrupt(cause) && u.fireLocked(lifecycle.Disable) == nil
}

// shutdown ends the unit with its manager, until ctx ends; the desired state
// stays. After an error leave follows.
func (u *unit) shutdown(ctx context.Context) error {
	u.interruptStart("the shutdown of the manager")
	if u.operation.lock(ctx) == nil {
		defer u.operation.unlock()
	}
	u.mu.Lock()
	u.closed = true
	s := u.supervisor
	u.mu.Unlock()
	// A newer manager has the process, and its mounts.
	fenced := u.manager.root.Check() != nil
	stays := s != nil && u.manager.config.LiveRestoreEnabled && u.plugin.IsEnabled()
	switch {
	case fenced || stays:
		u.detach()
		return nil
	case s == nil:
		return within(restTime, "unmount plugin data", ignoringContext(u.process.unmount))
	}
	return u.stop(ctx)
}

func (u *unit) detach() {
	u.mu.Lock()
	s := u.supervisor
	u.mu.Unlock()
	if s != nil {
		s.Detach()
	}
}

// leave ends supervision and leaves a process alone. It returns what is left of
// a plugin that is to be stopped; calls that hang have until ctx ends.
func (u *unit) leave(ctx context.Context) error {
	u.mu.Lock()
	s, stopping := u.supervisor, u.state == lifecycle.Stopping
	u.mu.Unlock()
	if s == nil {
		return nil
	}
	var err error
	if stopping && u.manager.root.Check() == nil {
		err = s.Stop(ctx)
	}
	s.Detach()
	if err != nil {
		return fmt.Errorf("process of plugin %q is left: %w", u.plugin.Name(), err)
	}
	return nil
}

// forgetAuthorization makes docker's middleware ask the plugin no more. It
// comes after the commit of a disable or removal: what is enabled, and what
// fails to be removed, goes on to guard.
func (u *unit) forgetAuthorization() {
	middleware := u.manager.config.AuthzMiddleware
	if middleware != nil && slices.Contains(capabilitiesOf(u.plugin), authorization.AuthZApiImplements) {
		middleware.RemovePlugin(u.plugin.Name())
	}
}
