package runc

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/log"
	"golang.org/x/sync/errgroup"
)

// Restore takes over the run of plugin id that an earlier executor over the
// same directory left, and reports whether it lives. The streams get what it
// wrote while no executor was there, and then what it writes; they are closed
// as those of Create, or at once if the run is dead, unknown or can't be taken
// over. What is left of a dead run is removed.
//
// A run that this executor attends already is an error of class conflict.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error) {
	leave, err := e.enter(id)
	if err == nil {
		defer leave()
		var r *run
		if r, err = e.restore(id); r != nil {
			r.begin(stdout, stderr)
			return true, nil
		}
	}
	stdout.Close()
	stderr.Close()
	if err != nil {
		return false, fmt.Errorf("restore plugin %s: %w", id, err)
	}
	return false, nil
}

// restore returns the run of id, nil if there is none that lives.
func (e *Executor) restore(id string) (*run, error) {
	r := e.newRun(id)
	written := r.bundle.load()
	init, err := findProcess(written.Init)
	if errors.Is(err, errGone) {
		return nil, e.clear(id)
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
	return r, nil
}

// sweep clears what an earlier executor left, but for runs that live. What
// can't be removed now is tried again by Create and Restore.
func (e *Executor) sweep() {
	var group errgroup.Group
	group.SetLimit(8)
	for _, id := range e.leftovers() {
		group.Go(func() error {
			p, err := findProcess(e.bundle(id).load().Init)
			if err == nil {
				p.close()
				return nil
			}
			if err := e.clear(id); err != nil {
				log.L.WithError(err).WithField("plugin", id).Warn("what an earlier daemon left was not removed")
			}
			return nil
		})
	}
	_ = group.Wait()
}

// leftovers returns the ids of which anything is there.
func (e *Executor) leftovers() []string {
	var ids []string
	for _, directory := range []string{e.bundles(), e.runtimeRoot()} {
		entries, _ := os.ReadDir(directory)
		for _, entry := range entries {
			known := directory != e.bundles() && exists(string(e.bundle(entry.Name())))
			if entry.IsDir() && !known {
				ids = append(ids, entry.Name())
			}
		}
	}
	return ids
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
