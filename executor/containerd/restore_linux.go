package containerd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dovetailhq/plugin/executor/internal/attend"
)

// Restore takes over the run of plugin id that an earlier executor left, and
// reports whether it lives. The streams get what the pipes have kept since,
// and then what the plugin writes; they are closed as those of Create, or at
// once if the run is dead, unknown or can't be taken over. The container of a
// run that is dead is deleted, with its task if that is still there.
//
// An error says that it is not known whether the run lives, or that what is
// left of it can't be removed; the run goes on then, and the call may be made
// again. The error is of class unavailable if containerd, or the task's shim,
// has not answered within ten seconds, and of class conflict if this executor
// attends the run already.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	alive, err := e.perform(id, e.limits.outage, stdout, stderr, func(ctx context.Context) (s attend.Started[*run]) {
		s.Run, s.Err = e.restore(ctx, id)
		if s.Run != nil {
			s.Undo = s.Run.streams.close
		}
		return s
	})
	if err != nil {
		return false, fmt.Errorf("restore plugin %s: %w", id, err)
	}
	return alive, nil
}

// restore returns the run of id, nil if there is none that lives.
func (e *Executor) restore(ctx context.Context, id string) (*run, error) {
	found, err := e.task(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found.lives() {
		return nil, e.clear(ctx, id)
	}
	// Whoever started the task chose the pipes.
	p := e.pipes(id)
	p.stdout = cmp.Or(found.Stdout, p.stdout)
	p.stderr = cmp.Or(found.Stderr, p.stderr)
	p.directory = filepath.Dir(p.stdout)
	s, err := p.open()
	if err != nil {
		return nil, err
	}
	s.settle()
	return e.newRun(id, found.Pid, s), nil
}
