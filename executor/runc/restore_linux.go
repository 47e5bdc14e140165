// SPDX-License-Identifier: Apache-2.0

package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dovetailhq/plugin/executor/internal/attend"
	"github.com/dovetailhq/plugin/internal/logging"
)

// Restore takes over the run of plugin id that an earlier executor over the
// same directory left, and reports whether it lives. The streams get the output
// that was kept while no executor was there, and then new output. They are closed
// like those of Create, or at once if the run is dead, unknown or can't be taken
// over. Leftovers of a dead run are removed.
//
// An error means that it is not known whether the run lives, or that its leftovers
// can't be removed. A living run continues then, and the call can be repeated. If
// id already runs in this executor, the error is of class Conflict. Restore takes
// ten seconds at most, plus ten seconds if the removal hangs; Close ends it at
// once.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error) {
	alive, err = e.perform(id, e.limits.cleanup, stdout, stderr, func(ctx context.Context) (s attend.Started[*run]) {
		if s.Run, s.Err = e.restore(ctx, id); s.Run != nil {
			s.Undo = s.Run.abandon
		}
		return s
	})
	if err != nil {
		return false, fmt.Errorf("restore plugin %s: %w", id, err)
	}
	return alive, nil
}

// restore returns the run of id, nil if it is not alive.
func (e *Executor) restore(ctx context.Context, id string) (*run, error) {
	r := e.newRun(id)
	written, err := e.load(id)
	if err != nil {
		return nil, err
	}
	init, err := findProcess(written.Init)
	if errors.Is(err, errGone) {
		return nil, e.clear(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	r.init, r.pid = init, init.PID
	if r.runtime, err = findProcess(written.Runtime); err != nil && !errors.Is(err, errGone) {
		r.closeHandles()
		return nil, err
	}
	if err := r.openReaders(); err != nil {
		return nil, err
	}
	if err := r.rewrite(); err != nil {
		r.abandon()
		return nil, err
	}
	return r, nil
}

// Runs returns the IDs of the runs that still exist and that this executor, or an
// earlier executor over the same directory, made: living runs, and dead runs with
// leftovers.
func (e *Executor) Runs() ([]string, error) {
	ids, err := e.leftovers()
	ids = append(ids, e.living()...)
	e.mu.Lock()
	ids = slices.AppendSeq(ids, maps.Keys(e.runs))
	e.mu.Unlock()
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// sweep removes leftovers of an earlier executor, except runs that live. Create
// and Restore retry what fails.
func (e *Executor) sweep() {
	ctx, cancel := e.cleaning()
	defer cancel()
	ids, err := e.Runs()
	if err != nil {
		logging.L().WithError(err).Warn("list runs of an earlier daemon")
	}
	var group errgroup.Group
	group.SetLimit(8)
	for _, id := range ids {
		group.Go(func() error {
			e.sweepOne(ctx, id)
			return nil
		})
	}
	_ = group.Wait()
}

func (e *Executor) sweepOne(ctx context.Context, id string) {
	p, err := e.findInit(id)
	if err == nil {
		p.close()
		return
	}
	if errors.Is(err, errGone) {
		err = e.clear(ctx, id)
	}
	if err != nil {
		logging.L().WithError(err).WithField("plugin", id).Warn("remove leftovers of a plugin's earlier run")
	}
}

// leftovers returns the IDs that have a bundle of this package or a state of the
// runtime.
func (e *Executor) leftovers() (ids []string, err error) {
	bundles, err := os.ReadDir(e.bundles())
	err = ignoreMissing(err)
	states, stateErr := os.ReadDir(e.runtimeRoot())
	stateErr = ignoreMissing(stateErr)
	for _, entry := range bundles {
		if entry.IsDir() && e.bundle(entry.Name()).isOurs() {
			ids = append(ids, entry.Name())
		}
	}
	for _, entry := range states {
		if entry.IsDir() && !slices.Contains(ids, entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, errors.Join(err, stateErr)
}

func lexists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
