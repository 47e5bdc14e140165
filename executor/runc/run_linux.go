// SPDX-License-Identifier: Apache-2.0

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

// handover bounds how long, after the end of a plugin, its runtime may take to
// forward the last output and to clean up, and then how long the streams may take
// to deliver it. It passes in full only when a process that outlived the plugin
// holds its output open, or when a writer blocks.
const handover = time.Second

// killedCode is the exit code of a run that ended by SIGKILL.
const killedCode = 128 + int(syscall.SIGKILL)

// ending is how a run ended.
type ending struct {
	code      int
	oomKilled bool
	// known is true if code is known.
	known bool
}

// run is a plugin's process from its start, or its Restore, until its end was
// reported.
type run struct {
	e      *Executor
	id     string
	bundle bundle

	// init is the plugin's main process, nil if it ended before it could be
	// opened; pid is its pid in any case.
	init *process
	pid  int
	// runtime is init's parent; nil if it is gone.
	runtime *process
	// foreground is the runtime as a child of this process; nil if another
	// process started it.
	foreground *foreground
	// outcome is how foreground ended, once it has.
	outcome *outcome
	// readers are the near ends of stdout and stderr, until Begin makes
	// streams of them.
	readers []*os.File
	streams []*stream

	// killed is true if this executor sent SIGKILL.
	killed atomic.Bool
	// recording is held while the record is written again. If cleared is true, it
	// must not be written again.
	recording sync.Mutex
	cleared   bool
	// over is closed when the run has left Executor.runs; only its report is
	// pending then.
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

// openDeleted opens the near end of a deleted pipe by way of the runtime, which
// has the far end as the given descriptor. Without a runtime the output is lost.
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
	r.warn(fs.ErrNotExist, "pipe of a running plugin was deleted: its output is lost")
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

// Begin registers the run and starts to watch it.
func (r *run) Begin(stdout, stderr io.WriteCloser) {
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

// unwatch notes that watch has ended.
func (r *run) unwatch() {
	r.e.mu.Lock()
	delete(r.e.watched, r)
	r.e.mu.Unlock()
	close(r.watched)
}

// leave stops watching a living run.
func (r *run) leave() {
	for _, s := range r.streams {
		s.leave()
	}
	r.awaitStreams()
	r.closeHandles()
}

// awaitStreams waits until the streams have delivered all output, for handover at
// most, because a writer can block.
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

// finish delivers the last output of a run that has ended, and removes its
// leftovers.
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
		r.warn(err, "remove leftovers of a plugin's run")
	}
	return end
}

func (r *run) warn(err error, message string) {
	logging.L().WithError(err).WithField("plugin", r.id).Warn(message)
}

// awaitRuntime waits until the runtime has forwarded the last output and has
// ended. A runtime that takes too long is killed.
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

// ending returns how the run ended. It prefers the exit code that the kernel
// reports to that of the runtime, because the runtime itself can fail.
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

// conclude makes LastExit and IsRunning return the end.
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
