// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Bounds of the stages of a shutdown: a stage that hangs leaves time for the next. A
// callback that called Shutdown itself, for example, can't return before Shutdown
// does.
const (
	killTime     = 10 * time.Second // from SIGKILL until a process has ended
	executorTime = 5 * time.Second  // as executor/runc and executor/containerd take at most
	leaveTime    = 2 * time.Second
	restTime     = time.Second // for each other stage

	// closeTime bounds all stages together, beyond StopTimeout.
	closeTime = 28 * time.Second
	// reportTime bounds the log of what is left, because logs can block.
	reportTime = time.Second
)

// Shutdown ends the manager: it interrupts verbs, stops all plugins in parallel,
// or leaves them running if LiveRestoreEnabled, and releases the root. Desired
// states don't change. Authorization plugins stay in AuthzMiddleware, so that the
// daemon's API is guarded until the daemon ends. If a newer manager took the root
// over, plugins and mounts belong to it and are left alone.
//
// Shutdown has one deadline, StopTimeout plus 30 s, whatever hangs. It logs as
// errors the calls and processes that it had to leave. If there are none, no
// goroutine of the manager is left. An executor that is an [io.Closer] is closed.
// A second call waits for the first. Callbacks may call Shutdown.
func (pm *Manager) Shutdown() {
	if !pm.beginShutdown() {
		<-pm.ended
		return
	}
	defer close(pm.ended)
	err := bounded.Finish(pm.config.StopTimeout+closeTime, func(s *bounded.Stages) {
		s.Do(pm.config.StopTimeout+killTime, "stop plugins", pm.stopAll)
		pm.release(s)
	})
	if err == nil {
		return
	}
	bounded.Within(reportTime, func() bool {
		logging.G(context.WithoutCancel(pm.ctx)).WithError(err).Error("close plugin manager")
		return true
	})
}

// beginShutdown interrupts all verbs. It returns false if an earlier call did so.
func (pm *Manager) beginShutdown() bool {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	if pm.closed {
		return false
	}
	pm.closed = true
	pm.halt()
	return true
}

// stopAll stops all plugins at the same time, until ctx ends. A stop that fails gets
// another attempt before the executor is closed: this process may have been stopped
// itself (SIGSTOP, a suspended machine), so that ctx ended without any attempt.
func (pm *Manager) stopAll(ctx context.Context) error {
	var stopping bounded.Tasks
	for _, u := range pm.allUnits() {
		stopping.Start(func() {
			err := u.shutdown(ctx)
			if err != nil {
				err = u.shutdownOnceMore(ctx)
			}
			if err != nil {
				u.logger().WithError(err).Error("stop plugin at shutdown")
			}
		})
	}
	if stopping.Wait(ctx) != nil {
		late, cancel := lastMoment(ctx)
		defer cancel()
		_ = stopping.Wait(late) // a later stage reports what is left
	}
	return nil
}

// lastMoment returns a context for what follows the end of ctx, within the
// [bounded.Grace] of its stage.
func lastMoment(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), bounded.Grace/2)
}

// close releases what open and CreateExecutor acquired. Its error lists the stages
// that it had to give up.
func (pm *Manager) close() error { return bounded.Finish(closeTime, pm.release) }

// release is the stages after the end of the plugins.
func (pm *Manager) release(s *bounded.Stages) {
	pm.halt()
	defer managers.Part(pm)
	s.Do(executorTime, "close executor", pm.closeExecutor)
	s.Do(leaveTime+restTime, "end supervisors", pm.leaveAll) // closing the executor has ended calls that hung
	pm.cancel()
	pm.events.Close()
	s.Do(restTime, "end background work", pm.awaitTasks)
	// The last lines arrived before the executor was closed, or will arrive after
	// the next manager has taken the streams over.
	s.Do(restTime, "close files of plugin output", bounded.IgnoringContext(pm.closeLogbooks))
	s.Do(restTime, "close watch of sockets", bounded.IgnoringContext(pm.sockets.Close))
	s.Do(restTime, "release directories", bounded.IgnoringContext(pm.releaseDirectories))
}

func (pm *Manager) closeExecutor(context.Context) error {
	if closer, ok := pm.executor.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// leaveAll ends all supervisors in parallel. A supervisor that does not end does
// not delay others.
func (pm *Manager) leaveAll(ctx context.Context) error {
	stopping, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	var leaving bounded.Tasks
	var mu sync.Mutex
	var problems []error
	for _, u := range pm.allUnits() {
		leaving.Start(func() {
			err := u.leave(stopping)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
		})
	}
	err := leaving.Wait(ctx)
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(append(problems, err)...)
}

// awaitTasks waits for background work and for handlers of the daemon.
func (pm *Manager) awaitTasks(ctx context.Context) error {
	err := pm.background.Wait(ctx)
	if problem := pm.callbacks.Wait(ctx); problem != nil {
		err = errors.Join(err, fmt.Errorf("handlers of plugins: %w", problem))
	}
	return err
}

func (pm *Manager) closeLogbooks() error {
	for _, u := range pm.allUnits() {
		u.closeLogbook()
	}
	return nil
}

func (pm *Manager) releaseDirectories() (err error) {
	if pm.execRoot != nil {
		err = pm.execRoot.Close()
	}
	if pm.root != nil {
		err = errors.Join(err, pm.root.Close())
	}
	return err
}
