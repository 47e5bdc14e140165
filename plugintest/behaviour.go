package plugintest

import (
	"net/http"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Behaviour is how a run goes. The zero value is a plugin that listens before
// Create returns, answers the activation call as a volume driver, ends with
// code 0 at SIGTERM, and whose end is reported once.
type Behaviour struct {
	// CreateError, if set, is what Create fails with.
	CreateError error

	// Socket is the name of the plugin's socket in the directory that its
	// spec mounts at /run/docker/plugins. Empty means plugin.sock.
	Socket string
	// Handler answers the calls to the plugin. Nil means a handler that
	// answers /Plugin.Activate with Implements and nothing else.
	Handler http.Handler
	// Implements is what the default handler says the plugin implements. Nil
	// means VolumeDriver.
	Implements []string
	// NeverListens lets the plugin live without a socket.
	NeverListens bool
	// ListenAfter makes the plugin listen when the channel closes, and not
	// before. Nil means at once.
	ListenAfter <-chan struct{}
	// IgnoresSIGTERM leaves SIGKILL as the only end from outside.
	IgnoresSIGTERM bool
	// EndsAtOnce, if set, ends the run as soon as it has started.
	EndsAtOnce *Ending
	// Program, if set, is what the run does instead of all that the fields
	// from Socket to EndsAtOnce say.
	Program Program

	// Reports is how the end of the run is reported.
	Reports Reports
	// AlwaysRunning makes IsRunning true once and for all, as it is in fakes
	// that many a project has.
	AlwaysRunning bool
}

// Ending is how a run ends by itself.
type Ending struct {
	// Code is the exit code, 128+n for an end by signal n.
	Code int
	// OOMKilled says that the kernel killed the run for want of memory.
	OOMKilled bool
	// Stdout and Stderr are the last output, written before the end.
	Stdout, Stderr string
}

// Program is the main function of a run. Its result is the run's exit code.
// It must return soon after run.Killed closes.
type Program func(run *Run) (code int)

// Reports is a way to report the end of a run.
type Reports int

const (
	// ReportOnce reports an end once and from a goroutine of its own.
	ReportOnce Reports = iota
	// ReportInSignal reports an end by a signal from inside the Signal call
	// that caused it, which returns after the report, and any other end as
	// ReportOnce does. With a Program of its own, that must obey SIGTERM.
	ReportInSignal
	// ReportTwice reports every end two times.
	ReportTwice
	// ReportNever leaves reports to the test, which makes them, late or
	// wrong, with [Executor.Report].
	ReportNever
)

// choose returns the behaviour of the run that Create is about to start.
func (e *Executor) choose(id string, spec specs.Spec) Behaviour {
	e.mu.Lock()
	h := e.historyLocked(id)
	attempt := h.attempts
	h.attempts++
	e.mu.Unlock()
	if e.Choose != nil {
		return e.Choose(id, attempt, spec)
	}
	return e.Behaviour
}
