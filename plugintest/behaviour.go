// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"net/http"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Behaviour defines how a run behaves. The zero value is a plugin that listens
// before Create returns, answers the activation call as a volume driver, and exits
// with code 0 after SIGTERM; the executor reports its end once.
type Behaviour struct {
	// CreateError, if set, is the error of Create.
	CreateError error

	// Socket is the name of the plugin's socket in the directory that its
	// spec mounts at /run/docker/plugins. Empty means plugin.sock.
	Socket string
	// Handler answers the calls to the plugin. Nil means a handler that
	// answers /Plugin.Activate with Implements and nothing else.
	Handler http.Handler
	// Implements lists the interfaces that the default handler reports. Nil
	// means VolumeDriver.
	Implements []string
	// NeverListens makes the plugin run without a socket.
	NeverListens bool
	// ListenAfter delays listening until the channel is closed. Nil means no
	// delay.
	ListenAfter <-chan struct{}
	// IgnoresSIGTERM makes the run ignore SIGTERM, so that only SIGKILL ends it.
	IgnoresSIGTERM bool
	// EndsAtOnce, if set, makes the run end as soon as it has started.
	EndsAtOnce *Ending
	// Program, if set, replaces the behaviour defined by the fields from Socket
	// to EndsAtOnce.
	Program Program

	// Reports defines how the end of the run is reported.
	Reports Reports
	// AlwaysRunning makes IsRunning always return true, like the fakes of many
	// projects.
	AlwaysRunning bool
}

// Ending defines how a run ends by itself.
type Ending struct {
	// Code is the exit code, or 128+n for signal n.
	Code int
	// OOMKilled reports the run as killed by the OOM killer.
	OOMKilled bool
	// Stdout and Stderr are written before the end.
	Stdout, Stderr string
}

// Program is the main function of a run. It returns the run's exit code. It must
// return soon after the channel run.Killed is closed.
type Program func(run *Run) (code int)

// Reports is a way to report the end of a run.
type Reports int

const (
	// ReportOnce reports an end once, from a separate goroutine.
	ReportOnce Reports = iota
	// ReportInSignal reports an end by a signal inside the Signal call that
	// caused it; Signal returns after the report. It reports other ends like
	// ReportOnce. A Program must obey SIGTERM with it.
	ReportInSignal
	// ReportTwice reports every end twice.
	ReportTwice
	// ReportNever reports no end. The test makes reports, late or wrong ones,
	// with [Executor.Report].
	ReportNever
)

// choose returns the behaviour of the next run of id.
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
