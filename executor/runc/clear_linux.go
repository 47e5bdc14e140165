package runc

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// clear ends what lives of id and removes what is left of it, wherever an
// earlier attempt or a crash stopped.
func (e *Executor) clear(id string) error {
	b := e.bundle(id)
	who := b.load()
	end := who.end
	if who.Init == (identity{}) {
		end = func() error { return e.endStarting(id) }
	}
	if err := end(); err != nil {
		return err
	}
	if err := e.forgetState(id); err != nil {
		return err
	}
	return b.remove()
}

// end ends the recorded processes, and leaves it to the runtime, if that
// lives, to clean up after its container.
func (r record) end() error {
	limit := time.Now().Add(cleanupTimeout)
	init, err := findProcess(r.Init)
	if err == nil {
		defer init.close()
		err = init.kill(limit)
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
	if runtime.await(time.Now().Add(handover)) == nil {
		return nil
	}
	return runtime.kill(limit)
}

// endStarting ends a run that has no record of its processes, for a crash
// came before. There may be a runtime that still starts its container; it is
// let do so, because one that is killed half way forgets its cgroups. Its
// lifeline is the pipe that it holds open.
func (e *Executor) endStarting(id string) error {
	b := e.bundle(id)
	if !exists(b.record()) {
		return nil
	}
	lifeline, err := openReader(b.stdout())
	if err != nil {
		return ignoreMissing(err) // then nothing was started
	}
	defer lifeline.Close()
	started, forget, err := e.starts.expect(b)
	if err != nil {
		return err
	}
	defer forget()
	if err := lifeline.SetReadDeadline(time.Now().Add(cleanupTimeout)); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, lifeline)
		ended <- err
	}()
	if _, ok := b.pid(); !ok {
		select {
		case <-started:
		case err := <-ended:
			return stillStarting(err)
		}
	}
	err = e.forgetState(id)
	return errors.Join(err, stillStarting(<-ended))
}

func stillStarting(err error) error {
	if err != nil {
		return fmt.Errorf("wait for a runtime that an earlier daemon left starting: %w", err)
	}
	return nil
}

// forgetState makes the runtime forget id, if it knows it, and end what lives
// of it.
func (e *Executor) forgetState(id string) error {
	if !exists(filepath.Join(e.runtimeRoot(), id)) {
		return nil
	}
	return e.delete(id)
}
