package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dovetailhq/plugin/internal/logging"
)

// handover is how long, after the end of a plugin, its runtime may take to
// hand on the last output and to clean up, and then the streams to be read.
// It is needed in full only when a process that outlived the plugin holds on
// to its output, or when a writer blocks.
const handover = time.Second

// killedCode is the exit code of a run that ended by SIGKILL.
const killedCode = 128 + int(syscall.SIGKILL)

// ending is how a run ended.
type ending struct {
	code      int
	oomKilled bool
	// known says that code is.
	known bool
}

// run is a plugin's process from the moment it was started, or restored,
// until its end was told.
type run struct {
	e      *Executor
	id     string
	bundle bundle

	// init is the plugin's main process, nil if it ended before it could be
	// looked at; pid is its pid in any case.
	init *process
	pid  int
	// runtime is init's parent; nil if it is gone.
	runtime *process
	// foreground is the runtime as our child; nil if another process
	// started it.
	foreground *foreground
	// outcome is how foreground ended, once it has.
	outcome *outcome
	// readers are the near ends of stdout and stderr, until begin makes
	// streams of them.
	readers []*os.File
	streams []*stream

	// killed says that SIGKILL came from us.
	killed atomic.Bool
	// recording is held while the record is written again; cleared says that it
	// is to stay away.
	recording sync.Mutex
	cleared   bool
	// over closes when the run is nobody's business any more but its report's.
	over chan struct{}
	// watched closes when the run's goroutine has ended.
	watched chan struct{}
}

func (e *Executor) newRun(id string) *run {
	return &run{e: e, id: id, bundle: e.bundle(id), over: make(chan struct{}), watched: make(chan struct{})}
}

func (r *run) openReaders() error {
	for i, fifo := range []string{r.bundle.stdout(), r.bundle.stderr()} {
		reader, err := openReader(fifo)
		if errors.Is(err, fs.ErrNotExist) && r.init != nil {
			reader, err = r.openDeleted(i + 1)
		}
		if err != nil {
			r.abandon()
			return err
		}
		r.readers = append(r.readers, reader)
	}
	return nil
}

// openDeleted opens the near end of a pipe that was deleted, by way of the
// runtime, which holds the far end as descriptor. Without a runtime the output
// is lost.
func (r *run) openDeleted(descriptor int) (*os.File, error) {
	if r.runtime != nil {
		path := fmt.Sprintf("/proc/%d/fd/%d", r.runtime.PID, descriptor)
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeNamedPipe {
			if reader, err := openReader(path); err == nil && r.runtime.alive() {
				return reader, nil
			} else if err == nil {
				reader.Close()
			}
		}
	}
	r.warn(fs.ErrNotExist, "the pipe of a plugin that runs was deleted: its output is lost")
	return openReader(os.DevNull)
}

func (r *run) record(boot string) record {
	written := record{Boot: boot}
	if r.runtime != nil {
		written.Runtime = r.runtime.identity
	}
	if r.init != nil {
		written.Init = r.init.identity
	}
	return written
}

// begin makes the run known and starts to watch it.
func (r *run) begin(stdout, stderr io.WriteCloser) {
	for i, to := range []io.WriteCloser{stdout, stderr} {
		r.streams = append(r.streams, newStream(r.readers[i], to))
	}
	r.e.mu.Lock()
	r.e.runs[r.id] = r
	r.e.watched[r] = struct{}{}
	r.e.mu.Unlock()
	go r.watch()
}

func (r *run) alive() bool { return r.init != nil && r.init.alive() }

func (r *run) signal(signal syscall.Signal) error {
	if r.init == nil {
		return errGone
	}
	if signal == syscall.SIGKILL {
		r.killed.Store(true)
	}
	return r.init.signal(signal)
}

// letGo makes watch end without waiting for the end of the run.
func (r *run) letGo() {
	if r.init != nil {
		r.init.close()
	}
}

// watch is the goroutine of a run.
func (r *run) watch() {
	defer r.unwatch()
	memory := watchOOM(r.pid)
	if r.init != nil {
		if err := r.init.await(context.Background()); err != nil {
			r.leave()
			return
		}
	}
	memory.look()
	end := r.finish()
	end.oomKilled = end.code == killedCode && !r.killed.Load() && memory.killed()
	r.conclude(end)
	r.e.report(r.id)
}

// unwatch is the end of watch.
func (r *run) unwatch() {
	r.e.mu.Lock()
	delete(r.e.watched, r)
	r.e.mu.Unlock()
	close(r.watched)
}

// leave lets go of a living run.
func (r *run) leave() {
	for _, s := range r.streams {
		s.leave()
	}
	r.awaitStreams()
	r.closeHandles()
}

// awaitStreams waits until the streams have delivered all, but not for a
// writer that blocks.
func (r *run) awaitStreams() {
	limit := time.NewTimer(handover)
	defer limit.Stop()
	for _, s := range r.streams {
		select {
		case <-s.done:
		case <-limit.C:
			return
		}
	}
}

// finish delivers the last output of a run that has ended, and removes what
// is left of it.
func (r *run) finish() ending {
	r.awaitRuntime()
	for _, s := range r.streams {
		s.finish()
	}
	r.awaitStreams()
	end := r.ending()
	r.closeHandles()
	r.recording.Lock()
	r.cleared = true
	r.recording.Unlock()
	ctx, cancel := r.e.cleaning()
	defer cancel()
	if err := r.e.clear(ctx, r.id); err != nil {
		r.warn(err, "what a plugin left was not removed")
	}
	return end
}

func (r *run) warn(err error, message string) {
	logging.L().WithError(err).WithField("plugin", r.id).Warn(message)
}

// awaitRuntime waits until the runtime has seen the end of the run, has
// handed on its last output and is gone. One that takes too long is killed.
func (r *run) awaitRuntime() {
	switch {
	case r.outcome != nil:
	case r.foreground != nil:
		if !r.awaitForeground(handover) {
			r.foreground.kill()
			r.awaitForeground(r.e.limits.cleanup)
		}
	case r.runtime != nil:
		soon, cancel := context.WithTimeout(context.Background(), handover)
		defer cancel()
		if r.runtime.await(soon) != nil {
			_ = r.runtime.signal(syscall.SIGKILL)
		}
	}
}

// ending prefers the kernel's word to the runtime's, which can fail on its
// own account.
func (r *run) ending() ending {
	if r.init != nil {
		if code, ok := r.init.exitCode(); ok {
			return ending{code: code, known: true}
		}
	}
	if r.outcome != nil && r.outcome.byItself() {
		return ending{code: r.outcome.code, known: true}
	}
	return ending{}
}

// conclude makes the end known to those who ask.
func (r *run) conclude(end ending) {
	r.e.mu.Lock()
	delete(r.e.runs, r.id)
	r.e.ended[r.id] = end
	r.e.mu.Unlock()
	close(r.over)
}

func (r *run) closeHandles() {
	for _, p := range []*process{r.init, r.runtime} {
		if p != nil {
			p.close()
		}
	}
}
