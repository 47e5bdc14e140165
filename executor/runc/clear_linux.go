package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// clear ends what lives of id and removes what is left of it, wherever an
// earlier attempt or a crash stopped. It returns soon after ctx has ended.
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
		err = who.endTree()
	default:
		err = e.endStarting(ctx, id)
	}
	if err != nil {
		return err
	}
	if err := e.forgetState(ctx, id); err != nil {
		return err
	}
	e.forget(id)
	return b.remove()
}

// end ends the recorded processes, and leaves it to the runtime, if that
// lives, to clean up after its container.
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

// endStarting ends a run that has no record of its processes, because a crash
// came before. A runtime may still be starting its container. It gets some
// time to finish, because one that is killed half way forgets its cgroups.
// Its lifeline is the pipe that it holds open.
func (e *Executor) endStarting(ctx context.Context, id string) error {
	b := e.bundle(id)
	if !exists(b.record()) {
		return nil
	}
	lifeline, err := openReader(b.stdout())
	if err != nil {
		return ignoreMissing(err) // then nothing was started
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
	started, forget := e.starts.expect(e.bundle(id))
	defer forget()
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
	return e.forgetState(ctx, id)
}

// awaitRelease waits until no process holds the lifeline. Those that do after
// a while hang, and are killed.
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
	return unavailableError{fmt.Errorf("end a runtime that an earlier daemon left starting: %w", cause)}
}

// forgetState makes the runtime forget id, if it knows it, and end what lives
// of it.
func (e *Executor) forgetState(ctx context.Context, id string) error {
	if !exists(filepath.Join(e.runtimeRoot(), id)) {
		return nil
	}
	return e.delete(ctx, id)
}
