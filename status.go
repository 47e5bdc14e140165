// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logbook"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Status is a plugin's actual state; Inspect shows the desired state.
type Status struct {
	ID   string
	Name string
	// State is disabled, starting, running, backoff, stopping, upgrading,
	// removing, removed, or broken: the record can't be read.
	State string
	// Since is when the plugin entered this state, or was loaded.
	Since time.Time
	// Pid is the main process; 0 when there is none or the executor is not a
	// [PidReporter].
	Pid int `json:",omitempty"`
	// Restarts counts the automatic restarts since the plugin was enabled or
	// loaded.
	Restarts int
	// LastExit is how the process last exited by itself; nil if it never did.
	LastExit *ExitStatus `json:",omitempty"`
	// LastError is why the last start failed; empty after a successful start.
	LastError string `json:",omitempty"`
	// NextRetry is when a plugin in backoff is restarted.
	NextRetry *time.Time `json:",omitempty"`
	// Warnings lists the parts of the config that are ignored or read
	// differently, and what prevents the plugin from starting; see
	// [v2.ConfigWarnings].
	Warnings []string `json:",omitempty"`
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	// Code is the exit code, 128+n for signal n, and -1 when it is not known.
	Code      int
	OOMKilled bool      // the OOM killer ended it
	At        time.Time // when the manager noticed
}

// Status returns the actual state of a plugin. It does not wait for verbs in
// progress. A broken plugin is found by its ID. Errors: [NotFoundError],
// [AmbiguousError].
func (pm *Manager) Status(refOrID string) (_ *Status, retErr error) {
	defer plain(&retErr)
	u, err := pm.unit(refOrID)
	if err != nil {
		return nil, err
	}
	status := u.status()
	return &status, nil
}

// history is what a unit remembers for its status. unit.mu guards it.
type history struct {
	since     time.Time
	down      bool // the process exited, or did not start, since it was ready
	restarts  int
	lastExit  *ExitStatus
	lastError string
	nextRetry time.Time
}

// status asks the executor with no lock held: the executor may report an exit
// concurrently, under its own lock.
func (u *unit) status() Status {
	pid := u.pid()
	var warnings []string
	if u.broken == nil {
		warnings = v2.ConfigWarnings(u.plugin.Snapshot().Config)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	status := Status{
		ID:        u.plugin.GetID(),
		Name:      u.plugin.Name(),
		State:     u.state.String(),
		Since:     u.history.since,
		Pid:       pid,
		Restarts:  u.history.restarts,
		LastExit:  u.history.lastExit,
		LastError: u.history.lastError,
		Warnings:  warnings,
	}
	if u.broken != nil {
		status.State, status.LastError = "broken", u.broken.Error()
	}
	if u.state == lifecycle.Backoff {
		next := u.history.nextRetry
		status.NextRetry = &next
	}
	return status
}

// recordLocked notes a step of the supervisor; the caller holds unit.mu. It
// returns true for the first Ready after an exit or a failed start.
func (h *history) recordLocked(event lifecycle.Event, err error, exit *ExitStatus, wait time.Duration) (restarted bool) {
	now := time.Now()
	switch event {
	case lifecycle.Exit:
		h.lastExit, h.down, h.nextRetry = exit, true, now.Add(wait)
	case lifecycle.Defer:
		h.lastError, h.down, h.nextRetry = err.Error(), true, now.Add(wait)
	case lifecycle.Refuse, lifecycle.Stick:
		h.lastError = err.Error()
	case lifecycle.Ready:
		restarted = h.down
		if restarted {
			h.restarts++
		}
		h.lastError, h.down = "", false
	}
	return restarted
}

// remember notes why a user's start failed.
func (u *unit) remember(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.history.lastError = err.Error()
}

// answerTime bounds questions that only add details to a report: an exit code, a
// pid, a hint.
const answerTime = time.Second

// lastExit asks the executor how the process ended.
func (u *unit) lastExit() *ExitStatus {
	exit := &ExitStatus{Code: -1, At: time.Now()}
	reporter, ok := u.host.executor.(ExitReporter)
	if !ok {
		return exit
	}
	type reported struct {
		code      int
		oomKilled bool
		ok        bool
	}
	last, _ := bounded.Within(answerTime, func() (r reported) {
		r.code, r.oomKilled, r.ok = reporter.LastExit(u.plugin.GetID())
		return r
	})
	exit.OOMKilled = last.oomKilled
	if last.ok {
		exit.Code = last.code
	}
	return exit
}

// pid asks the executor for the main process, 0 if there is none.
func (u *unit) pid() int {
	reporter, ok := u.host.executor.(PidReporter)
	if !ok {
		return 0
	}
	pid, _ := bounded.Within(answerTime, func() int {
		pid, _ := reporter.Pid(u.plugin.GetID())
		return pid
	})
	return pid
}

// listFilter is the filter of [Manager.List].
type listFilter struct {
	args            filters.Args
	byEnabled, want bool
	byCapability    bool
}

var acceptedFilters = map[string]bool{"enabled": true, "capability": true}

func parseListFilter(args filters.Args) (listFilter, error) {
	if err := args.Validate(acceptedFilters); err != nil {
		return listFilter{}, err
	}
	f := listFilter{
		args:         args,
		byEnabled:    args.Contains("enabled"),
		byCapability: args.Contains("capability"),
	}
	want, err := args.GetBoolOrDefault("enabled", false)
	f.want = want
	return f, err
}

func (f listFilter) matches(p *types.Plugin) bool {
	if f.byEnabled && p.Enabled != f.want {
		return false
	}
	return !f.byCapability || slices.ContainsFunc(p.Config.Interface.Types, func(typ types.PluginInterfaceType) bool {
		return f.args.ExactMatch("capability", typ.Capability)
	})
}

// LogLine is one line of a plugin's output. It can hold control characters:
// callers that show it on a terminal should escape them.
type LogLine struct {
	Time   time.Time `json:"time"`   // of its arrival
	Stream string    `json:"stream"` // stdout, stderr, or manager for a note of the manager
	Text   string    `json:"log"`    // without the end of the line
}

// LogOptions selects lines of a plugin's output. The zero value means all lines
// that are kept, without waiting for more.
type LogOptions struct {
	// Follow waits for more lines, until the context ends or the plugin is
	// removed.
	Follow bool
	// Tail is the number of the newest lines to begin with. Zero means all, a
	// negative number none.
	Tail int
	// Since leaves out older lines.
	Since time.Time
}

// Logs returns a plugin's output, oldest line first. The newest 2 MiB are kept,
// across restarts of the plugin and of the daemon.
//
// The iterator never delays the plugin. If it falls behind by more than the
// output kept in memory, it yields a line of the stream "manager" with the number
// of missed lines. An error, of ctx or of the file system, comes last. Errors of
// Logs itself: [NotFoundError], [AmbiguousError].
func (pm *Manager) Logs(ctx context.Context, refOrID string, options LogOptions) (_ iter.Seq2[LogLine, error], retErr error) {
	defer plain(&retErr)
	u, err := pm.unit(refOrID)
	if err != nil {
		return nil, err
	}
	return func(yield func(LogLine, error) bool) {
		for line, err := range u.logbook.Read(ctx, logbook.Options(options)) {
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("read logs of plugin %q: %w", u.plugin.Name(), err)
			}
			if !yield(LogLine(line), err) {
				return
			}
		}
	}, nil
}
