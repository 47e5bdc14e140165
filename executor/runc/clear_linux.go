// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/dovetailhq/plugin/internal/class"
)

// clear ends the processes of id and removes its leftovers, wherever an earlier
// attempt or a crash stopped. It returns soon after ctx has ended.
func (e *Executor) clear(ctx context.Context, id string) error {
	b := e.bundle(id)
	who, err := e.load(id)
	if err != nil {
		return err
	}
	switch {
	case who.Init != (identity{}):
		err = who.end(ctx)
	case who.Runtime != (identity{}):
		err = who.endTree(ctx)
	default:
		err = e.endStarting(ctx, id)
	}
	if err != nil {
		return err
	}
	// Only a run of this executor has such a state. Its directory is its bundle,
	// also if the record was deleted.
	if who != (record{}) || e.hasState(id) {
		if err := b.mark(); err != nil {
			return err
		}
	}
	if err := e.deleteState(ctx, id); err != nil {
		return err
	}
	e.dropLeft(id)
	return b.remove()
}

// end ends the recorded processes. A living runtime gets the time of handover to
// clean up after its container.
func (r record) end(ctx context.Context) error {
	init, err := findProcess(r.Init)
	if err == nil {
		defer init.close()
		err = init.kill(ctx)
	}
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	runtime, err := findProcess(r.Runtime)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer runtime.close()
	soon, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	if runtime.await(soon) == nil {
		return nil
	}
	return runtime.kill(ctx)
}

// endStarting ends a run without recorded processes, after a crash during Create.
// A runtime may still be starting the container. It gets some time to finish,
// because a runtime that is killed half way leaves its cgroups. While it lives it
// holds a pipe open, the lifeline.
func (e *Executor) endStarting(ctx context.Context, id string) error {
	b := e.bundle(id)
	if !lexists(b.record()) {
		return nil
	}
	lifeline, err := openReader(b.stdout())
	if err != nil {
		return ignoreMissing(err) // without the pipe nothing was started
	}
	defer lifeline.Close()
	released := make(chan struct{})
	go func() {
		defer close(released)
		_, _ = io.Copy(io.Discard, lifeline)
	}()
	if err := e.endStarted(ctx, id, released); err != nil {
		return err
	}
	return e.awaitRelease(ctx, id, released)
}

// endStarted waits for the start of the container, and ends it.
func (e *Executor) endStarted(ctx context.Context, id string, released <-chan struct{}) error {
	started, unwatch := e.starts.expect(e.bundle(id))
	defer unwatch()
	limit := time.NewTimer(e.limits.unfinished)
	defer limit.Stop()
	if _, ok := e.bundle(id).pid(); !ok {
		select {
		case <-started:
		case <-released:
			return nil
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return unfinished(ctx)
		}
	}
	return e.deleteState(ctx, id)
}

// awaitRelease waits until no process holds the lifeline. Processes that hold it
// after the limit hang, and are killed.
func (e *Executor) awaitRelease(ctx context.Context, id string, released <-chan struct{}) error {
	limit := time.NewTimer(e.limits.unfinished)
	defer limit.Stop()
	select {
	case <-released:
		return nil
	case <-limit.C:
	case <-ctx.Done():
	}
	groups := killHolders(id, e.bundle(id).stdout())
	limit.Reset(handover)
	select {
	case <-released:
		return removeCgroups(groups)
	case <-limit.C:
		return unfinished(ctx)
	}
}

// killHolders kills the processes that hold file, and returns the cgroups of
// id that they were in.
func killHolders(id, file string) (groups []string) {
	found := holders(file)
	for _, p := range found {
		groups = append(groups, cgroupsOf(id, p.PID)...)
	}
	killAll(found)
	return groups
}

func unfinished(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil {
		cause = errStillLives
	}
	return class.Unavailable(fmt.Errorf("end unfinished start of an earlier daemon: %w", cause))
}

// deleteState makes the runtime delete its state of id, if it has any, and end the
// processes of id.
func (e *Executor) deleteState(ctx context.Context, id string) error {
	if !e.hasState(id) {
		return nil
	}
	return e.delete(ctx, id)
}

func (e *Executor) hasState(id string) bool { return lexists(filepath.Join(e.runtimeRoot(), id)) }
