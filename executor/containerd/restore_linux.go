// SPDX-License-Identifier: Apache-2.0

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
// reports whether it is alive. The streams get the content of the pipes, and then
// the plugin's further output. They are closed like those of Create, or at once if
// the run is dead, unknown or can't be taken over. Restore deletes the container
// and the task of a dead run.
//
// An error means that the state of the run is unknown, or that a dead run can't be
// removed. Restore then stops nothing, and the caller can retry. The error is of
// class Unavailable if containerd or the task's shim does not answer within ten
// seconds, and of class Conflict if this executor already has the run.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	alive, err := e.perform(id, e.limits.outage, stdout, stderr, func(ctx context.Context) (s attend.Started[*run]) {
		if s.Run, s.Err = e.restore(ctx, id); s.Run != nil {
			s.Undo = s.Run.streams.close
		}
		return s
	})
	if err != nil {
		return false, fmt.Errorf("restore plugin %s: %w", id, err)
	}
	return alive, nil
}

// restore returns the living run of id, or nil if there is none.
func (e *Executor) restore(ctx context.Context, id string) (*run, error) {
	found, err := e.task(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found.lives() {
		return nil, e.clear(ctx, id)
	}
	// The executor that started the task, which may be docker's, chose the pipes.
	p := e.pipes(id)
	p.stdout = cmp.Or(found.Stdout, p.stdout)
	p.stderr = cmp.Or(found.Stderr, p.stderr)
	p.directory = filepath.Dir(p.stdout)
	s, err := p.open()
	if err != nil {
		return nil, err
	}
	s.closeKeepers()
	return e.newRun(id, found.Pid, s), nil
}
