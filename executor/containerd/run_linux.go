// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"

	"github.com/dovetailhq/plugin/internal/logging"
)

const (
	// handover is how long after the end of a plugin its streams are read. It is
	// used up only if a process that outlived the plugin holds the pipes open,
	// or if a writer blocks.
	handover = time.Second
	// oomDelay is how much later than the end of a run its OOM event can arrive.
	oomDelay = 200 * time.Millisecond
	// killedCode is the exit code of a run that ended by SIGKILL.
	killedCode = 128 + int(syscall.SIGKILL)
)

// ending is how a run ended.
type ending struct {
	code      int
	oomKilled bool
	// known is false if code is unknown.
	known bool
}

// run is a plugin's task from its start, or its restore, until its end was
// reported.
type run struct {
	e       *Executor
	id      string
	pid     uint32
	streams *streams

	// again has an item when watch must check whether the task is alive.
	again chan struct{}
	// killed is set when this executor has sent SIGKILL.
	killed atomic.Bool
	// oom has an item when the OOM killer has killed a process of the task.
	oom chan struct{}
	// over is closed once the run is removed from runs; only its report is
	// pending then.
	over chan struct{}
	// watched is closed when the run's goroutine has ended.
	watched chan struct{}
}

func (e *Executor) newRun(id string, pid uint32, s *streams) *run {
	return &run{
		e: e, id: id, pid: pid, streams: s,
		again:   make(chan struct{}, 1),
		oom:     make(chan struct{}, 1),
		over:    make(chan struct{}),
		watched: make(chan struct{}),
	}
}

// Begin adds the run to the executor and starts to watch it.
func (r *run) Begin(stdout, stderr io.WriteCloser) {
	r.streams.copy(stdout, stderr)
	r.e.mu.Lock()
	r.e.runs[r.id] = r
	r.e.watched[r] = struct{}{}
	r.e.mu.Unlock()
	go r.watch()
}

// recheck makes watch check whether the run is alive.
func (r *run) recheck() { offer(r.again) }

func offer(items chan<- struct{}) {
	select {
	case items <- struct{}{}:
	default:
	}
}

// watch is the goroutine of a run.
func (r *run) watch() {
	defer r.unwatch()
	end, ok := r.awaitEnd()
	if !ok {
		r.streams.detach()
		return
	}
	end.oomKilled = end.code == killedCode && !r.killed.Load() && r.oomReported()
	// From here on the end is recorded even if the executor is closed.
	r.clear()
	r.streams.finish()
	r.recordEnd(end)
	r.e.report(r.id)
}

// clear removes the run from containerd. If containerd does not answer, a goroutine
// removes the run later. It blocks other calls for the ID until then, unless such
// a call is already waiting; that call begins by removing the run.
func (r *run) clear() {
	ctx, cancel := r.e.cleaning()
	defer cancel()
	err := r.e.clear(ctx, r.id)
	if err == nil {
		return
	}
	logging.L().WithError(err).WithField("plugin", r.id).Warn("container of a plugin was not removed yet")
	leave, err := r.e.calls.Enter(r.id)
	if err != nil {
		return
	}
	go func() {
		defer leave()
		r.e.undo(r.id)
	}()
}

// unwatch records that watch has ended.
func (r *run) unwatch() {
	r.e.mu.Lock()
	delete(r.e.watched, r)
	r.e.mu.Unlock()
	close(r.watched)
}

// awaitEnd waits until the run has ended. ok is false if the executor was closed
// before. It also notices the end if a Wait call fails or never returns.
func (r *run) awaitEnd() (end ending, ok bool) {
	for backoff := newBackoff(); ; {
		end, err := r.awaitAnswer()
		if err == nil || isGone(err) {
			return end, true
		}
		if !r.e.reconnect(r.e.ctx, &backoff) {
			return ending{}, false
		}
	}
}

// awaitAnswer waits until containerd reports the end of the run, by a Wait call or,
// after recheck, by the state of the task. A task that is gone has ended with an
// unknown code.
func (r *run) awaitAnswer() (ending, error) {
	ctx, cancel := context.WithCancel(r.e.ctx)
	answers := make(chan answer, 1)
	go func() {
		response, err := r.e.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: r.id})
		answers <- answer{response.GetExitStatus(), err}
	}()
	for {
		select {
		case a := <-answers:
			cancel()
			return a.ending()
		case <-r.again:
			found, err := r.look()
			if err != nil || found.lives() {
				continue
			}
			cancel()
			if a := <-answers; a.err == nil {
				return a.ending()
			}
			if found.Process == nil {
				return ending{}, nil
			}
			return answer{status: found.ExitStatus}.ending()
		}
	}
}

func (r *run) look() (taskState, error) {
	ctx, cancel := r.e.calls.Bounded(r.e.limits.outage)
	defer cancel()
	return r.e.task(ctx, r.id)
}

// answer is the result of a Wait call.
type answer struct {
	status uint32
	err    error
}

func (a answer) ending() (ending, error) {
	if a.err != nil {
		return ending{}, a.err
	}
	return ending{code: int(a.status), known: true}, nil
}

// oomReported reports whether containerd has reported an OOM kill. It waits for a
// late event.
func (r *run) oomReported() bool {
	timer := time.NewTimer(oomDelay)
	defer timer.Stop()
	select {
	case <-r.oom:
		return true
	case <-timer.C:
		return false
	}
}

// recordEnd makes LastExit return the end, and removes the run.
func (r *run) recordEnd(end ending) {
	r.e.mu.Lock()
	delete(r.e.runs, r.id)
	r.e.ended[r.id] = end
	r.e.mu.Unlock()
	close(r.over)
}
