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
	// ID is the plugin's id and Spec what Create was called with.
	ID   string
	Spec specs.Spec
	// Stdout and Stderr take the output of the run. Writing never fails:
	// while no manager is attached, what is written waits for the next.
	Stdout, Stderr io.Writer

	behaviour Behaviour
	outlets   [2]*outlet
	signals   chan os.Signal
	killed    chan struct{}
	// done closes when the run has ended and its end was reported.
	done chan struct{}

	mu sync.Mutex
	// forced is the ending that was imposed from outside.
	forced *Ending
	ended  bool
	// quiet says that the run's own goroutine shall not report its end.
	quiet bool
}

// Signals delivers the signals that the run may handle. A signal that finds
// 16 unread ones is lost.
func (r *Run) Signals() <-chan os.Signal { return r.signals }

// Killed closes when the run must end at once.
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

// finish marks the run as ended, by itself with code unless an ending was
// imposed.
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

// signal does to the run what the kernel would and reports whether it lived.
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

// endsWithin reports whether a Signal call shall last until the run has
// ended, and report that itself.
func (r *Run) endsWithin(signal syscall.Signal) bool {
	obeys := signal == syscall.SIGKILL || signal == syscall.SIGTERM && !r.behaviour.IgnoresSIGTERM
	return obeys && r.behaviour.Reports == ReportInSignal
}

// kill imposes ending on a living run and reports whether it was one.
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

// forget makes the run end unreported.
func (r *Run) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quiet = true
}

// attach gives the run's output new takers, which are closed at once if it
// has ended.
func (r *Run) attach(stdout, stderr io.WriteCloser) (alive bool) {
	out, err := r.outlets[0].attach(stdout), r.outlets[1].attach(stderr)
	return out && err
}

func (r *Run) detach() {
	for _, o := range r.outlets {
		o.detach()
	}
}
