package runc

import "time"

// ExitHandler is told of the end of runs. The plugin manager is one.
type ExitHandler interface {
	// HandleExitEvent is called once after a run has ended, from a goroutine
	// that holds no locks; LastExit and IsRunning tell the new state.
	// [Executor.Close] waits for it, so a handler that calls Close makes that
	// fail at its limit. The error is logged.
	HandleExitEvent(id string) error
}

const (
	defaultRuntime = "runc"
	// defaultCreateTimeout is far above what a runtime takes on a busy
	// machine, hooks included, and below what callers take for a hang.
	defaultCreateTimeout = time.Minute
)

type settings struct {
	runtime     string
	runtimeArgs []string
	limits      limits
}

// limits bound what waits for runtimes, processes and handlers.
type limits struct {
	// create bounds a Create until the plugin has started.
	create time.Duration
	// cleanup bounds what should take milliseconds: a kill, or a call of the
	// runtime that removes what is left of a run. Restore and New have it once.
	cleanup time.Duration
	// unfinished is how long a runtime that an earlier daemon left in the
	// middle of a start may take to finish it.
	unfinished time.Duration
	// close bounds Close.
	close time.Duration
}

func defaults() settings {
	return settings{
		runtime: defaultRuntime,
		limits: limits{
			create:     defaultCreateTimeout,
			cleanup:    10 * time.Second,
			unfinished: 5 * time.Second,
			close:      5 * time.Second,
		},
	}
}

// Option changes what [New] makes.
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

// WithCreateTimeout changes how long the runtime may take to start a plugin
// before Create gives up and undoes the start. Zero leaves it at one minute.
func WithCreateTimeout(limit time.Duration) Option {
	return func(s *settings) {
		if limit > 0 {
			s.limits.create = limit
		}
	}
}
