package runc

import (
	"errors"
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Create starts the process of plugin id from spec, whose rootfs is a
// directory, and returns once that was started. It takes over both streams
// and closes them when the run has ended, or at once if Create fails.
//
// What a crashed daemon left of id is replaced, also if it lives; a run that
// this executor knows to live is an error of class conflict. If the runtime
// refuses, the error is a [RuntimeError]. A failed Create leaves nothing
// behind. It blocks as long as the runtime takes; Close ends the wait.
func (e *Executor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	leave, err := e.enter(id)
	if err == nil {
		defer leave()
		var r *run
		if r, err = e.create(id, spec); err == nil {
			r.begin(stdout, stderr)
			return nil
		}
	}
	stdout.Close()
	stderr.Close()
	return fmt.Errorf("start plugin %s: %w", id, err)
}

// create returns a run that has started.
func (e *Executor) create(id string, spec specs.Spec) (*run, error) {
	if err := e.clear(id); err != nil {
		return nil, err
	}
	r := e.newRun(id)
	if err := r.bundle.create(spec); err != nil {
		return nil, errors.Join(err, e.clear(id))
	}
	if err := r.start(); err != nil {
		return nil, errors.Join(err, e.clear(id))
	}
	return r, nil
}

// start runs the runtime until its container has started. If it fails, the
// runtime's process is gone.
func (r *run) start() (err error) {
	if err := r.openReaders(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.abandon()
		}
	}()
	started, forget, err := r.e.starts.expect(r.bundle)
	if err != nil {
		return err
	}
	defer forget()
	if err := r.launch(); err != nil {
		return err
	}
	if err := r.awaitStart(started); err != nil {
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
	r.foreground = r.e.runForeground(r.id, r.bundle, stdout, stderr)
	r.runtime, err = openDescendant(r.foreground.pid, os.Getpid())
	return err
}

// awaitStart waits until the container has started. A runtime that ended
// meanwhile has either failed, or seen the container's end already.
func (r *run) awaitStart(started <-chan int) error {
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
	case <-r.e.closing:
		return unavailableError{errors.New("executor was closed meanwhile")}
	}
}

// commit records the container's init, if it still lives: before it a crash
// leaves something to clear, after it a run to restore.
func (r *run) commit() (err error) {
	if r.outcome != nil {
		return nil
	}
	if r.init, err = openDescendant(r.pid, r.foreground.pid); err != nil {
		return err
	}
	return r.bundle.save(r.record())
}

// abandon undoes start, as far as processes and files of ours go.
func (r *run) abandon() {
	if r.foreground != nil && r.outcome == nil {
		r.foreground.kill()
		<-r.foreground.ended
	}
	r.closeHandles()
	for _, reader := range r.readers {
		reader.Close()
	}
}
