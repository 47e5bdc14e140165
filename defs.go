package plugin

import (
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/authorization"
	"github.com/docker/docker/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	v2 "github.com/dovetailhq/plugin/v2"
)

// Executor starts and signals the processes of plugins. One executor serves
// all plugins of a [Manager], which calls it concurrently for different ids
// and never concurrently for the same id.
//
// An executor reports the end of a run through [Manager.HandleExitEvent]. It
// may do so from inside Signal, more than once, late, or never for processes
// other than the plugin's main one. Executors may also implement
// [ExitReporter] and [PidReporter]; the manager then says more in its errors.
type Executor interface {
	// Create starts the process of plugin id from spec and returns once it
	// was started. Both streams are the executor's until the run ends: it
	// writes the output of the process to them and closes them. A failed
	// Create leaves nothing behind.
	Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	// IsRunning reports whether the main process of plugin id lives. For an
	// unknown id it returns false, without an error or with one of class not
	// found. Any other error means that it is not known.
	IsRunning(id string) (bool, error)
	// Restore takes over a run that a previous manager left, with its
	// streams, and reports whether it lives. What is left of a dead one is
	// cleaned up. An unknown id is not alive and not an error. An error means
	// that it is not known whether the run lives; it is left alone then.
	Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error)
	// Signal sends signal to the main process of plugin id.
	Signal(id string, signal syscall.Signal) error
}

// ExitReporter is what an [Executor] implements to tell how a run ended.
type ExitReporter interface {
	// LastExit returns the exit code of the newest ended run of plugin id,
	// 128+n for a run that ended by signal n, and whether the kernel killed
	// it for want of memory. ok is false when the code is not known.
	LastExit(id string) (code int, oomKilled bool, ok bool)
}

// PidReporter is what an [Executor] implements to tell where a run lives.
type PidReporter interface {
	// Pid returns the main process of plugin id in the executor's pid
	// namespace; ok is false when it is not running.
	Pid(id string) (pid int, ok bool)
}

// RunLister is what an [Executor] implements so that no run outlives its
// plugin unnoticed. After boot the manager takes over and stops every run of
// an id that it does not know, and that no other manager of this process has.
// Managers of different processes therefore need executors with a directory
// each, and so do managers that leave plugins running as they end.
type RunLister interface {
	// Runs returns the ids of the runs that this executor made in its own
	// directory, or that an earlier executor made there, and that still exist:
	// living ones, and dead ones with leftovers. It never returns runs of
	// other executors. An error does not make the returned ids invalid.
	Runs() (ids []string, err error)
}

// ExecutorCreator makes the executor of a manager. It is called once by
// [NewManager], before any plugin is loaded, with a manager that serves
// nothing but [Manager.HandleExitEvent] yet. A nil executor with a nil error
// gives a manager that can do everything but run plugins.
type ExecutorCreator func(*Manager) (Executor, error)

// EndpointResolver tells where a registry's repositories are pulled from. The
// registry service of docker implements it.
type EndpointResolver interface {
	LookupPullEndpoints(hostname string) (endpoints []registry.APIEndpoint, err error)
}

type eventLogger func(id, name string, action events.Action)

// ManagerConfig is what a manager needs to start. Root, ExecRoot and
// CreateExecutor are required; fields below AuthzMiddleware are Dovetail's
// own, and their zero values mean docker's behaviour.
type ManagerConfig struct {
	// Store is the inventory to manage; nil makes a new one.
	Store *Store
	// RegistryService resolves registry hosts. It may be nil for a manager
	// that never pulls or pushes.
	RegistryService EndpointResolver
	// LiveRestoreEnabled leaves plugins running at Shutdown and takes running
	// ones over in NewManager.
	LiveRestoreEnabled bool
	// LogPluginEvent is told of every verb that changed a plugin; may be nil.
	LogPluginEvent eventLogger
	// Root is the directory of persistent data, and ExecRoot the one of
	// sockets, whose content may vanish at reboot. Both are made if absent, and
	// links on the way to them are resolved once. Sockets whose path is longer
	// than the 107 bytes of unix(7) are reached through a descriptor of
	// ExecRoot: their addresses are valid in this process, until Shutdown.
	Root     string
	ExecRoot string
	// CreateExecutor makes the executor.
	CreateExecutor ExecutorCreator
	// AuthzMiddleware forgets authorization plugins as they are disabled; may
	// be nil.
	AuthzMiddleware *authorization.Middleware

	// Platform chooses among the variants of a plugin. The zero value is the
	// host's.
	Platform ocispec.Platform
	// StartTimeout bounds a start as a whole: preparing mounts and the spec,
	// the executor's Create, and the wait until the plugin's socket accepts
	// connections. Zero means 15 s. What a call that takes longer still makes
	// is undone when it returns.
	StartTimeout time.Duration
	// StopTimeout is how long a plugin may take to obey SIGTERM before it is
	// killed. Zero means 10 s.
	StopTimeout time.Duration
	// BootWait bounds how long NewManager waits until each enabled plugin
	// serves, or has failed once. Zero means 5 s; docker waits up to 12.5 s for
	// a plugin that does not listen. A negative value waits until each has, as
	// long as that takes. Plugins that take longer go on starting; until they
	// serve, [Store.Get] answers with an [UnavailableError].
	BootWait time.Duration
	// Backoff is the wait before the first restart of a plugin that ended by
	// itself; it doubles up to 30 s and starts over after 10 s of uptime.
	// Zero means 100 ms.
	Backoff time.Duration
	// Hardening takes from all plugins what docker leaves them; the zero value
	// takes nothing.
	Hardening Hardening
	// Redact takes out of what [Manager.Inspect] and [Manager.List] answer
	// what their callers should not see, for example values of settings that
	// are secret. It is given a copy, so that neither the plugin, nor its
	// record, nor how it is run changes; events and [Manager.Get] have
	// everything. It is called with no lock held, perhaps concurrently. Nil
	// takes nothing out.
	Redact func(answer *types.Plugin)
	// Limits bound what a plugin may cost while it is installed.
	Limits Limits
}

const (
	defaultStartTimeout = 15 * time.Second
	defaultStopTimeout  = 10 * time.Second
	defaultBootWait     = 5 * time.Second
	defaultBackoff      = 100 * time.Millisecond
)

func (c ManagerConfig) withDefaults() ManagerConfig {
	if c.Store == nil {
		c.Store = NewStore()
	}
	if c.LogPluginEvent == nil {
		c.LogPluginEvent = func(string, string, events.Action) {}
	}
	if c.Redact == nil {
		c.Redact = func(*types.Plugin) {}
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = defaultStartTimeout
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStopTimeout
	}
	if c.BootWait == 0 {
		c.BootWait = defaultBootWait
	}
	if c.Backoff == 0 {
		c.Backoff = defaultBackoff
	}
	return c
}

func (c ManagerConfig) validate() error {
	var problems []error
	if c.Root == "" {
		problems = append(problems, errors.New("Root is empty: name the directory of persistent data"))
	}
	if c.ExecRoot == "" {
		problems = append(problems, errors.New("ExecRoot is empty: name the directory of plugin sockets"))
	}
	if c.CreateExecutor == nil {
		problems = append(problems, errors.New("CreateExecutor is nil: pass one, for example from executor/runc"))
	}
	if c.StartTimeout < 0 || c.StopTimeout < 0 || c.Backoff < 0 {
		problems = append(problems, errors.New("a timeout is negative: leave it zero for the default"))
	}
	problems = append(problems, c.Hardening.problems()...)
	problems = append(problems, c.Limits.problems()...)
	if err := errors.Join(problems...); err != nil {
		return &ConfigError{Err: err}
	}
	return nil
}

// SpecOpt changes the OCI spec of a plugin before it starts. See
// [Store.RegisterRuntimeOpt].
type SpecOpt func(*specs.Spec)

// WithSpecMounts is a SpecOpt that adds mounts to the spec.
func WithSpecMounts(mounts []specs.Mount) SpecOpt {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, mounts...)
	}
}

// CreateOpt changes a plugin while it is being installed by [Manager.Pull],
// before it is published.
type CreateOpt func(p *v2.Plugin)

// WithSwarmService marks the plugin as owned by the swarm service id.
func WithSwarmService(id string) CreateOpt {
	return func(p *v2.Plugin) {
		p.SwarmServiceID = id
	}
}

// WithEnv adds variables of the form NAME=value to the plugin's environment.
// It begins with the defaults of the plugin's config, in their order, and with
// what is set already. A variable that is there, compared by case, is replaced
// in its place; the last of several wins; an entry that is not of that form is
// left out.
func WithEnv(env []string) CreateOpt {
	return func(p *v2.Plugin) {
		merged := make([]string, 0, len(p.PluginObj.Config.Env)+len(env))
		for _, variable := range p.PluginObj.Config.Env {
			if variable.Value != nil {
				merged = setVariable(merged, variable.Name+"="+*variable.Value)
			}
		}
		for _, entry := range slices.Concat(p.PluginObj.Settings.Env, env) {
			merged = setVariable(merged, entry)
		}
		p.PluginObj.Settings.Env = merged
	}
}

func setVariable(env []string, entry string) []string {
	name, _, ok := strings.Cut(entry, "=")
	if !ok || name == "" {
		return env
	}
	i := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
	if i < 0 {
		return append(env, entry)
	}
	env[i] = entry
	return env
}
