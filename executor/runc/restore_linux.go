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

	"github.com/dovetailhq/plugin/internal/logging"
)

// Restore takes over the run of plugin id that an earlier executor over the
// same directory left, and reports whether it lives. The streams get what it
// wrote while no executor was there, and then what it writes; they are closed
// as those of Create, or at once if the run is dead, unknown or can't be taken
// over. What is left of a dead run is removed.
//
// An error says that it is not known whether the run lives, or that what is
// left of it can't be removed; the run goes on then, and the call may be made
// again. A run that this executor attends already is an error of class
// conflict. Restore takes ten seconds at most, and as long again if what it
// removes hangs; Close ends it at once.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error) {
	alive, err = e.perform(id, e.limits.cleanup, stdout, stderr, func(ctx context.Context) (*run, error) {
		return e.restore(ctx, id)
	})
	if err != nil {
		return false, fmt.Errorf("restore plugin %s: %w", id, err)
	}
	return alive, nil
}

// restore returns the run of id, nil if there is none that lives.
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

// Runs returns the ids of the runs that this executor, or an earlier one over
// the same directory, made and that still exist: living ones, and dead ones of
// which something is left.
func (e *Executor) Runs() ([]string, error) {
	ids, err := e.leftovers()
	ids = append(ids, e.living()...)
	e.mu.Lock()
	ids = slices.AppendSeq(ids, maps.Keys(e.runs))
	e.mu.Unlock()
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// sweep clears what an earlier executor left, except runs that live. What
// can't be removed now is tried again by Create and Restore.
func (e *Executor) sweep() {
	ctx, cancel := e.cleaning()
	defer cancel()
	ids, err := e.Runs()
	if err != nil {
		logging.L().WithError(err).Warn("what an earlier daemon left was not looked for")
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
		logging.L().WithError(err).WithField("plugin", id).Warn("what an earlier daemon left was not removed")
	}
}

// leftovers returns the ids of which a bundle of ours or a state of the
// runtime is there.
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
