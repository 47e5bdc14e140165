package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// How long what ends after the processes may take: calls that the end of the
// executor ends, and all the rest. One of the callbacks may be what called
// Shutdown.
const (
	killTime     = 10 * time.Second // from SIGKILL until a process has ended
	executorTime = 6 * time.Second  // an executor of ours takes 5 s at most
	leaveTime    = 2 * time.Second
	restTime     = time.Second // for each step
)

// Shutdown ends the manager: it interrupts what is in progress, stops all
// plugins in parallel, or leaves them running if LiveRestoreEnabled, and
// releases the root. Which plugins are enabled stays the same, and
// authorization plugins stay in AuthzMiddleware: the daemon's API is guarded
// until it ends. When a newer manager took the root over, plugins and mounts
// belong to that one.
//
// Shutdown returns after StopTimeout and 25 s at the latest, whatever hangs,
// and logs as an error what it left. Otherwise no goroutine of the manager is
// left, and an executor that is an [io.Closer] is closed. A second call waits
// for the first. Callbacks may call Shutdown.
func (pm *Manager) Shutdown() {
	if !pm.beginShutdown() {
		<-pm.ended
		return
	}
	defer close(pm.ended)
	stopping, cancel := context.WithTimeout(context.Background(), pm.config.StopTimeout+killTime)
	defer cancel()
	pm.stopAll(stopping)
	if err := pm.close(); err != nil {
		logging.G(context.WithoutCancel(pm.ctx)).WithError(err).Error("close plugin manager")
	}
}

// beginShutdown makes all verbs end. It reports false when that was done before.
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

// stopAll stops all plugins at the same time, until ctx ends.
func (pm *Manager) stopAll(ctx context.Context) {
	var stopping tasks
	for _, u := range pm.allUnits() {
		stopping.start(func() {
			if err := u.shutdown(ctx); err != nil {
				u.logger().WithError(err).Error("stop plugin at shutdown")
			}
		})
	}
	_ = stopping.wait(ctx) // close reports what is left
}

// close releases what open and CreateExecutor acquired, and returns what it had
// to leave.
func (pm *Manager) close() error {
	pm.halt()
	defer pm.part()
	problems := []error{
		within(executorTime, "close executor", pm.closeExecutor),
		pm.leaveAll(), // the end of the executor has ended calls that hung
	}
	pm.cancel()
	pm.events.close()
	problems = append(problems,
		within(restTime, "end background work", pm.background.wait),
		within(restTime, "end handlers of plugins", pm.callbacks.wait),
	)
	// The last lines came before the executor was closed, or come after the
	// next manager has taken the streams over.
	problems = append(problems, within(restTime, "close files of plugin output", ignoringContext(pm.closeLogbooks)))
	problems = append(problems, within(restTime, "close watch of sockets", ignoringContext(pm.sockets.Close)))
	if pm.execRoot != nil {
		problems = append(problems, pm.execRoot.Close())
	}
	if pm.root != nil {
		problems = append(problems, within(restTime, "release root", ignoringContext(pm.root.Close)))
	}
	return errors.Join(problems...)
}

func (pm *Manager) closeExecutor(context.Context) error {
	if closer, ok := pm.executor.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// leaveAll ends all supervisors. One that does not end keeps no other.
func (pm *Manager) leaveAll() error {
	stopping, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	ending, cancel := context.WithTimeoutCause(context.Background(), leaveTime+restTime, fmt.Errorf("end supervisors: %w", errLeft))
	defer cancel()
	var leaving tasks
	var mu sync.Mutex
	var problems []error
	for _, u := range pm.allUnits() {
		leaving.start(func() {
			err := u.leave(stopping)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
		})
	}
	err := leaving.wait(ending)
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(append(problems, err)...)
}

var errLeft = errors.New("it did not end in time, and is left")

// within calls what may hang, and returns when it has returned or limit has
// passed.
func within(limit time.Duration, name string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errLeft)
	defer cancel()
	returned := make(chan error, 1)
	go func() { returned <- supervise.Protect(func() error { return call(ctx) }) }()
	var err error
	select {
	case err = <-returned:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func ignoringContext(call func() error) func(context.Context) error {
	return func(context.Context) error { return call() }
}

func (pm *Manager) closeLogbooks() error {
	for _, u := range pm.allUnits() {
		u.closeLogbook()
	}
	return nil
}
