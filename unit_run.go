// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/index"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// The functions of this file bring the actual state in line with the desired
// state. Callers hold the operation lock unless a comment says otherwise.

// superviseLocked makes the supervisor and changes the state in one step. With
// keepTrying a failed first start is retried, as at boot; a user's Enable gives
// up instead. The caller holds u.mu, and starts the supervisor.
func (u *unit) superviseLocked(event lifecycle.Event, keepTrying bool) (*supervise.Supervisor, error) {
	if u.closed {
		return nil, &FencedError{Root: u.host.root.Dir()}
	}
	if err := u.fireLocked(event); err != nil {
		return nil, err
	}
	u.inherited = true
	u.history.restarts, u.history.down = 0, false
	config := u.host.config
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

// startForUser starts the process, and returns once the plugin is ready or the
// start has failed. After a failure the plugin is disabled as before.
func (u *unit) startForUser() error {
	if err := u.stop(u.host.ctx); err != nil {
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
	u.host.events.Publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	return err
}

// resume enables a plugin again and starts its process. If a supervisor is still
// stopping the process, that supervisor's last step restarts it. resume needs no
// operation lock.
func (u *unit) resume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.host.config.Store.SetState(u.plugin, true)
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

// inherit takes charge of the process that an earlier manager may have left: the
// process is kept, replaced or stopped. It returns nil if a verb has done so.
func (u *unit) inherit() *supervise.Supervisor {
	desired := u.plugin.IsEnabled()
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
	// A record that is invalid for a start does not stop a process that runs.
	s.Recover(u.host.config.LiveRestoreEnabled)
	return s
}

// isInherited reports whether no unsupervised process of an earlier manager can
// be left.
func (u *unit) isInherited() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inherited
}

func (u *unit) endInheritedLocked() *supervise.Supervisor {
	s, err := u.superviseLocked(lifecycle.Inherit, false)
	if err != nil {
		return nil
	}
	s.End()
	return s
}

// stop ends supervision and the process, also a process that an earlier manager
// left. After an error the plugin is in state stopping until its process has
// ended; stop can be called again. Without a process it does nothing.
func (u *unit) stop(ctx context.Context) error {
	u.mu.Lock()
	s := u.supervisor
	switch {
	case s != nil && u.state != lifecycle.Stopping:
		// From here on the supervisor's steps can't change the state back.
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

// interruptStart interrupts a start by a user, so that its verb returns and
// unlocks the unit. It reports whether there was one. It needs no operation lock.
func (u *unit) interruptStart(by string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != lifecycle.Starting || u.plugin.IsEnabled() {
		return false
	}
	cause := &BusyError{Name: u.plugin.Name(), Err: errors.New("its start was interrupted by " + by)}
	return u.supervisor.Interrupt(cause) && u.fireLocked(lifecycle.Disable) == nil
}

// shutdown stops or detaches the unit's process when the manager ends, until ctx
// ends; the desired state stays. The manager calls leave afterwards.
func (u *unit) shutdown(ctx context.Context) error {
	u.interruptStart("the shutdown of the manager")
	if u.operation.Lock(ctx) == nil {
		defer u.operation.Unlock()
	}
	u.mu.Lock()
	u.closed = true
	s := u.supervisor
	u.mu.Unlock()
	// If fenced, a newer manager has the process and its mounts.
	fenced := u.host.root.Check() != nil
	stays := s != nil && u.host.config.LiveRestoreEnabled && u.plugin.IsEnabled()
	switch {
	case fenced || stays:
		u.detach()
		return nil
	case s == nil:
		return bounded.Step(ctx, restTime, "unmount plugin data", bounded.IgnoringContext(u.process.unmount))
	}
	return u.stop(ctx)
}

// shutdownOnceMore repeats shutdown after it has failed, for a moment at most.
func (u *unit) shutdownOnceMore(ctx context.Context) error {
	late, cancel := lastMoment(ctx)
	defer cancel()
	return u.shutdown(late)
}

func (u *unit) detach() {
	u.mu.Lock()
	s := u.supervisor
	u.mu.Unlock()
	if s != nil {
		s.Detach()
	}
}

// leave ends supervision and leaves the process alone. If the plugin is stopping,
// it first waits until ctx ends, and returns an error if the process is left.
func (u *unit) leave(ctx context.Context) error {
	u.mu.Lock()
	s, stopping := u.supervisor, u.state == lifecycle.Stopping
	u.mu.Unlock()
	if s == nil {
		return nil
	}
	var err error
	if stopping && u.host.root.Check() == nil {
		err = s.Stop(ctx)
	}
	s.Detach()
	if err != nil {
		return fmt.Errorf("process of plugin %q is left: %w", u.plugin.Name(), err)
	}
	return nil
}

// forgetAuthorization removes the plugin from docker's middleware. Callers call it
// after the commit of a disable or removal: until then the plugin stays in force.
func (u *unit) forgetAuthorization() {
	middleware := u.host.config.AuthzMiddleware
	if middleware != nil && slices.Contains(index.Capabilities(u.plugin), authorization.AuthZApiImplements) {
		middleware.RemovePlugin(u.plugin.Name())
	}
}
