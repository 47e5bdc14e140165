// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/internal/class"
)

// Create starts the process of plugin id from spec and returns once the process
// was started. The rootfs of spec is a directory. Create takes over both streams
// and closes them when the run has ended, or at once if Create fails.
//
// Leftovers of id from a crashed daemon are replaced, a living process included.
// If id already runs in this executor, the error is of class Conflict. If the
// runtime fails, the error is a [RuntimeError].
//
// Create blocks as long as the runtime takes, for a minute at most, plus ten seconds
// to undo a start that took longer. Close ends it at once. Both errors are of class
// Unavailable. A failed Create leaves nothing behind, except when the runtime also
// hangs during the cleanup: then no process is left, and the next Create or Restore
// of id, or New, retries.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	_, err := e.perform(id, e.limits.create, stdout, stderr, func(ctx context.Context) (s attend.Started[*run]) {
		if s.Run, s.Err = e.create(ctx, id, spec); s.Run != nil {
			s.Undo = s.Run.undo
		}
		return s
	})
	if err != nil {
		return fmt.Errorf("start plugin %s: %w", id, err)
	}
	return nil
}

// create returns a run that has started.
func (e *Executor) create(ctx context.Context, id string, spec specs.Spec) (*run, error) {
	if err := e.clear(ctx, id); err != nil {
		return nil, err
	}
	r := e.newRun(id)
	err := r.bundle.create(spec)
	if err == nil {
		err = r.start(ctx)
	}
	if err != nil {
		ctx, cancel := e.cleaning()
		defer cancel()
		return nil, errors.Join(err, e.clear(ctx, id))
	}
	return r, nil
}

// start runs the runtime until its container has started. If it fails, the
// runtime's process is gone.
func (r *run) start(ctx context.Context) (err error) {
	if err := r.openReaders(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.abandon()
		}
	}()
	started, unwatch := r.e.starts.expect(r.bundle)
	defer unwatch()
	if err := r.launch(); err != nil {
		return err
	}
	if err := r.awaitStart(ctx, started); err != nil {
		return err
	}
	return r.commit()
}

// launch starts the runtime.
func (r *run) launch() error {
	stdout, err := openWriter(r.bundle.stdout())
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := openWriter(r.bundle.stderr())
	if err != nil {
		return err
	}
	defer stderr.Close()
	r.foreground, err = r.e.runForeground(r.id, r.bundle, stdout, stderr)
	if err != nil {
		return err
	}
	r.runtime, err = openDescendant(r.foreground.pid, os.Getpid())
	return err
}

// awaitStart waits until the container has started. A runtime that ends first has
// either failed, or the container has already ended.
func (r *run) awaitStart(ctx context.Context, started <-chan int) error {
	select {
	case r.pid = <-started:
		return nil
	case end := <-r.foreground.ended:
		r.outcome = &end
		var ok bool
		if r.pid, ok = r.bundle.pid(); ok && end.byItself() {
			return nil
		}
		return r.failure(end)
	case <-ctx.Done():
		return class.Unavailable(fmt.Errorf("%s has not started it and was ended: %w", r.e.runtime, context.Cause(ctx)))
	}
}

// commit records the container's init, if it still lives. A crash before it
// leaves a start to clear, and a crash after it a run to restore.
func (r *run) commit() (err error) {
	if r.outcome != nil {
		return nil
	}
	if r.init, err = openDescendant(r.pid, r.foreground.pid); err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	return r.bundle.save(r.record(boot))
}

// abandon ends the runtime that start started, and closes all handles and pipes.
func (r *run) abandon() {
	if r.foreground != nil && r.outcome == nil {
		r.endForeground()
	}
	r.closeHandles()
	for _, reader := range r.readers {
		reader.Close()
	}
}

// endForeground kills the runtime with its descendants, and removes their cgroups.
func (r *run) endForeground() {
	groups := cgroupsOf(r.id, descendants(r.foreground.pid)...)
	r.foreground.kill()
	r.awaitForeground(r.e.limits.cleanup)
	if err := removeCgroups(groups); err != nil {
		r.warn(err, "remove cgroups of an interrupted start")
	}
}

// undo ends a run that has started after its caller gave up.
func (r *run) undo() {
	ctx, cancel := r.e.cleaning()
	defer cancel()
	err := r.e.clear(ctx, r.id)
	r.abandon()
	if err != nil {
		r.warn(err, "undo a start that took too long")
	}
}
