// SPDX-License-Identifier: Apache-2.0

package runc

import "time"

// ExitHandler receives the ends of runs. The plugin manager implements it.
type ExitHandler interface {
	// HandleExitEvent is called once after a run has ended, from a goroutine
	// that holds no locks; LastExit and IsRunning return the new state.
	// [Executor.Close] waits for it, so a Close that the handler calls fails
	// at its limit. The error is logged.
	HandleExitEvent(id string) error
}

const defaultRuntime = "runc"

type settings struct {
	runtime     string
	runtimeArgs []string
	limits      limits
}

// limits bound what waits for runtimes, processes and handlers.
type limits struct {
	// create bounds a Create until the plugin has started. It is far longer than
	// a runtime takes on a busy machine, hooks included, and short enough for
	// callers.
	create time.Duration
	// cleanup bounds steps that should take milliseconds: a kill, or a call of
	// the runtime that removes leftovers of a run. It also bounds Restore and
	// the sweep of New.
	cleanup time.Duration
	// unfinished bounds how long a runtime may take to finish a start that an
	// earlier daemon left in progress.
	unfinished time.Duration
	// close bounds Close.
	close time.Duration
}

func defaults() settings {
	return settings{
		runtime: defaultRuntime,
		limits: limits{
			create:     time.Minute,
			cleanup:    10 * time.Second,
			unfinished: 5 * time.Second,
			close:      5 * time.Second,
		},
	}
}

// Option configures the executor that [New] makes.
type Option func(*settings)

// WithRuntime makes the executor use another OCI runtime than runc: the name
// of a binary on the PATH or a path. It must understand runc's run and delete
// commands with their flags, as crun does.
func WithRuntime(binary string) Option {
	return func(s *settings) { s.runtime = binary }
}

// WithRuntimeArgs adds global arguments to every call of the runtime.
func WithRuntimeArgs(args ...string) Option {
	return func(s *settings) { s.runtimeArgs = append(s.runtimeArgs, args...) }
}

// WithSystemdCgroup makes the runtime leave cgroups to systemd: it is called
// with --systemd-cgroup. The cgroup that a spec names must then be of the form
// slice:prefix:name, which the manager's CgroupParent writes for a name that
// ends in .slice.
func WithSystemdCgroup() Option { return WithRuntimeArgs("--systemd-cgroup") }
