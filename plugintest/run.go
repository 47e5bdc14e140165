// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"io"
	"os"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Run is one run of a fake plugin, as its [Program] sees it.
type Run struct {
	// ID and Spec are the arguments of Create.
	ID   string
	Spec specs.Spec
	// Stdout and Stderr receive the output of the run. Writes never fail. Output
	// is buffered while no manager is attached.
	Stdout, Stderr io.Writer

	behaviour Behaviour
	outlets   [2]*outlet
	signals   chan os.Signal
	killed    chan struct{}
	// done is closed when the run has ended and its end was reported.
	done chan struct{}

	mu sync.Mutex
	// forced is the ending imposed by a signal or by Exit.
	forced *Ending
	ended  bool
	// quiet keeps the run's goroutine from reporting its end.
	quiet bool
}

// Signals delivers the signals that the run can handle. It buffers 16 signals;
// further signals are lost.
func (r *Run) Signals() <-chan os.Signal { return r.signals }

// Killed returns a channel that is closed when the run must end at once.
func (r *Run) Killed() <-chan struct{} { return r.killed }

func newRun(id string, spec specs.Spec, behaviour Behaviour, stdout, stderr io.WriteCloser) *Run {
	out, err := &outlet{to: stdout}, &outlet{to: stderr}
	return &Run{
		ID: id, Spec: spec, Stdout: out, Stderr: err,
		behaviour: behaviour,
		outlets:   [2]*outlet{out, err},
		signals:   make(chan os.Signal, 16),
		killed:    make(chan struct{}),
		done:      make(chan struct{}),
	}
}

// run is the goroutine of a run.
func (e *Executor) run(r *Run, main Program) {
	defer close(r.done)
	ending, quiet := r.finish(main(r))
	e.mu.Lock()
	h := e.historyLocked(r.ID)
	attached := h.newest == r && h.attached
	if h.newest == r {
		h.ending = &ending
	}
	e.mu.Unlock()
	for _, o := range r.outlets {
		o.end()
	}
	if quiet || !attached {
		return
	}
	switch r.behaviour.Reports {
	case ReportNever:
	case ReportTwice:
		e.Report(r.ID)
		e.Report(r.ID)
	default:
		e.Report(r.ID)
	}
}

// finish marks the run as ended: with the imposed ending if there is one, and with
// code otherwise.
func (r *Run) finish(code int) (ending Ending, quiet bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	switch {
	case r.forced != nil:
		ending = *r.forced
	case r.behaviour.EndsAtOnce != nil && r.behaviour.Program == nil:
		ending = *r.behaviour.EndsAtOnce
	default:
		ending.Code = code
	}
	return ending, r.quiet
}

func (r *Run) hasEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// signal delivers a signal to the run, and reports whether the run was alive.
func (r *Run) signal(signal syscall.Signal) (alive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.quiet = r.quiet || r.endsWithin(signal)
	if signal == syscall.SIGKILL {
		r.killLocked(Ending{Code: killedCode(signal)})
		return true
	}
	select {
	case r.signals <- signal:
	default:
	}
	return true
}

// endsWithin reports whether the Signal call must wait for the end of the run and
// report it.
func (r *Run) endsWithin(signal syscall.Signal) bool {
	obeys := signal == syscall.SIGKILL || signal == syscall.SIGTERM && !r.behaviour.IgnoresSIGTERM
	return obeys && r.behaviour.Reports == ReportInSignal
}

// kill imposes an ending on the run, and reports whether the run was alive.
func (r *Run) kill(ending Ending) (alive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.killLocked(ending)
	return true
}

func (r *Run) killLocked(ending Ending) {
	if r.forced == nil {
		r.forced = &ending
		close(r.killed)
	}
}

// mute makes the run end unreported.
func (r *Run) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiet = true
}

// attach sends the run's output to new streams. If the run has ended, it closes them
// and returns false.
func (r *Run) attach(stdout, stderr io.WriteCloser) (alive bool) {
	out, err := r.outlets[0].attach(stdout), r.outlets[1].attach(stderr)
	return out && err
}

func (r *Run) detach() {
	for _, o := range r.outlets {
		o.detach()
	}
}
