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
	// handover is how long, after the end of a plugin, its streams may take
	// to be read. It is needed in full only when a process that outlived the
	// plugin holds on to its output, or when a writer blocks.
	handover = time.Second
	// oomDelay is how long the event of a want of memory may be slower than
	// the end that it caused.
	oomDelay = 200 * time.Millisecond
	// killedCode is the exit code of a run that ended by SIGKILL.
	killedCode = 128 + int(syscall.SIGKILL)
)

// ending is how a run ended.
type ending struct {
	code      int
	oomKilled bool
	// known says that code is.
	known bool
}

// run is a plugin's task from the moment it was started, or restored, until
// its end was told.
type run struct {
	e       *Executor
	id      string
	pid     uint32
	streams *streams

	// again has an item when the task shall be looked at.
	again chan struct{}
	// killed says that SIGKILL came from us.
	killed atomic.Bool
	// oom has an item when the kernel has killed for want of memory.
	oom chan struct{}
	// over closes when the run is nobody's business any more but its report's.
	over chan struct{}
	// watched closes when the run's goroutine has ended.
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

// begin makes the run known and starts to watch it.
func (r *run) begin(stdout, stderr io.WriteCloser) {
	r.streams.copy(stdout, stderr)
	r.e.mu.Lock()
	r.e.runs[r.id] = r
	r.e.watched[r] = struct{}{}
	r.e.mu.Unlock()
	go r.watch()
}

// lookAgain makes watch ask whether the run still lives.
func (r *run) lookAgain() { offer(r.again) }

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
		r.streams.leave()
		return
	}
	end.oomKilled = end.code == killedCode && !r.killed.Load() && r.wantedMemory()
	// From here on the end is told even if the executor is closed meanwhile.
	r.clear()
	r.streams.finish()
	r.conclude(end)
	r.e.report(r.id)
}

// clear removes what is left of the run. A containerd that does not answer has
// it removed later: no call for the id begins before that, unless one waits
// already, which begins by removing.
func (r *run) clear() {
	ctx, cancel := r.e.cleaning()
	defer cancel()
	err := r.e.clear(ctx, r.id)
	if err == nil {
		return
	}
	logging.L().WithError(err).WithField("plugin", r.id).Warn("what a plugin left was not removed yet")
	leave, err := r.e.calls.Enter(r.id)
	if err != nil {
		return
	}
	go func() {
		defer leave()
		r.e.undo(r.id)
	}()
}

// unwatch is the end of watch.
func (r *run) unwatch() {
	r.e.mu.Lock()
	delete(r.e.watched, r)
	r.e.mu.Unlock()
	close(r.watched)
}

// awaitEnd waits until the run has ended; ok is false if the executor was
// closed before. Neither an answer that fails nor one that never comes keeps
// an end from being seen.
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

// awaitAnswer waits for containerd to say that the run has ended. That the
// task is gone says so too, but not how.
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

func (r *run) look() (found, error) {
	ctx, cancel := r.e.bounded(r.e.limits.outage)
	defer cancel()
	return r.e.task(ctx, r.id)
}

// answer is that of a Wait call.
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

// wantedMemory reports whether containerd told of a want of memory. Its event
// may still be on the way.
func (r *run) wantedMemory() bool {
	timer := time.NewTimer(oomDelay)
	defer timer.Stop()
	select {
	case <-r.oom:
		return true
	case <-timer.C:
		return false
	}
}

// conclude makes the end known to those who ask.
func (r *run) conclude(end ending) {
	r.e.mu.Lock()
	delete(r.e.runs, r.id)
	r.e.ended[r.id] = end
	r.e.mu.Unlock()
	close(r.over)
}
