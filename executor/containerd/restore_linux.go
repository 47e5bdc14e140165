package containerd

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
)

// Restore takes over the run of plugin id that an earlier executor left, and
// reports whether it lives. The streams get what the pipes have kept since,
// and then what the plugin writes; they are closed as those of Create, or at
// once if the run is dead, unknown or can't be taken over. The container of a
// run that is dead is deleted, with its task if that is still there.
//
// A run that this executor attends already is an error of class conflict.
func (e *Executor) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
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
	found, err := e.task(id)
	if err != nil {
		return nil, err
	}
	if !found.lives() {
		return nil, e.clear(id)
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
