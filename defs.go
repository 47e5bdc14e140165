// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
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
// all plugins of a [Manager], which calls it concurrently for different IDs
// and never concurrently for the same ID.
//
// An executor reports the end of a run through [Manager.HandleExitEvent]. It
// may do so from inside Signal, more than once, late, or never for processes
// other than the plugin's main one. Executors may also implement
// [ExitReporter], [PidReporter] and [RunLister]; the manager's errors and
// [Status] then hold more.
type Executor interface {
	// Create starts the process of plugin id from spec and returns once it
	// was started. The executor owns both streams until the run ends: it
	// writes the output of the process to them and closes them. A failed
	// Create leaves nothing behind.
	Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error
	// IsRunning reports whether the main process of plugin id lives. For an
	// unknown ID it returns false, without an error or with one of class
	// NotFound. Any other error means that the answer is not known.
	IsRunning(id string) (bool, error)
	// Restore takes over a run that a previous manager left, with its
	// streams, and reports whether it lives. The leftovers of a dead run are
	// removed. For an unknown ID it returns false and no error. An error means
	// that it is not known whether the run lives; the run is left alone then.
	Restore(id string, stdout, stderr io.WriteCloser) (alive bool, err error)
	// Signal sends signal to the main process of plugin id.
	Signal(id string, signal syscall.Signal) error
}

// ExitReporter is an optional interface of an [Executor]. It reports how a run
// ended.
type ExitReporter interface {
	// LastExit returns the exit code of the newest ended run of plugin id,
	// 128+n for a run that ended by signal n, and whether the OOM killer
	// ended it. ok is false when the code is not known.
	LastExit(id string) (code int, oomKilled bool, ok bool)
}

// PidReporter is an optional interface of an [Executor]. It reports the process
// of a run.
type PidReporter interface {
	// Pid returns the main process of plugin id, numbered in the executor's
	// pid namespace. ok is false when it is not running.
	Pid(id string) (pid int, ok bool)
}

// RunLister is an optional interface of an [Executor]. With it no run outlives
// its plugin unnoticed: after boot the manager stops every run of a disabled
// plugin, and every run of an ID that neither it nor another manager of this
// process knows.
//
// Managers of different processes therefore need executors with separate
// directories, and so do managers that leave plugins running when they end.
type RunLister interface {
	// Runs returns the IDs of the runs that still exist in the executor's
	// directory, whether this executor or an earlier one made them: living
	// runs, and dead runs with leftovers. It never returns runs of other
	// executors. IDs that are returned together with an error are valid.
	Runs() (ids []string, err error)
}

// ExecutorCreator makes the executor of a manager. [NewManager] calls it once,
// before any plugin is loaded. At that time only [Manager.HandleExitEvent] of the
// Manager can be called. With a nil executor and a nil error the manager does
// everything except run plugins.
type ExecutorCreator func(*Manager) (Executor, error)

// EndpointResolver returns the addresses of a registry and of its mirrors.
// Docker's registry service implements it.
type EndpointResolver interface {
	LookupPullEndpoints(hostname string) (endpoints []registry.APIEndpoint, err error)
}

type eventLogger func(id, name string, action events.Action)

// ManagerConfig configures a manager. Root, ExecRoot and CreateExecutor are
// required. Docker's config lacks the fields below AuthzMiddleware; their zero
// values mean docker's behaviour.
type ManagerConfig struct {
	// Store is the inventory to manage. Nil means a new one.
	Store *Store
	// RegistryService resolves registry hosts. If it is nil, verbs that need a
	// registry fail with an [UnsupportedError].
	RegistryService EndpointResolver
	// LiveRestoreEnabled leaves plugins running at Shutdown, and makes NewManager
	// take over running plugins.
	LiveRestoreEnabled bool
	// LogPluginEvent, if not nil, is called as
	// func(id, name string, action events.Action) after every create, pull,
	// push, enable, disable, upgrade and remove that succeeded.
	LogPluginEvent eventLogger
	// Root holds persistent data. ExecRoot holds sockets and may be on a tmpfs.
	// Both are made if absent, and links on the way to them are resolved once.
	// A socket with a path longer than 107 bytes, the limit of
	// https://man7.org/linux/man-pages/man7/unix.7.html, is reached through a
	// descriptor of ExecRoot: its address is valid in this process, until
	// Shutdown.
	Root     string
	ExecRoot string
	// CreateExecutor makes the executor.
	CreateExecutor ExecutorCreator
	// AuthzMiddleware, if not nil, is the daemon's authorization middleware. The
	// manager takes disabled and removed authorization plugins out of it.
	AuthzMiddleware *authorization.Middleware

	// Platform chooses among the variants of a plugin. The zero value is the
	// host's.
	Platform ocispec.Platform
	// StartTimeout bounds a start as a whole: preparing mounts and the spec,
	// the executor's Create, and the wait until the plugin's socket accepts
	// connections. Zero means 15 s. A call that takes longer is given up; its
	// effects are undone when it returns.
	StartTimeout time.Duration
	// StopTimeout is how long a plugin may take to obey SIGTERM before it is
	// killed. Zero means 10 s.
	StopTimeout time.Duration
	// BootWait bounds how long NewManager waits until each enabled plugin serves,
	// or has failed once. Zero means 5 s; docker waits up to 12.5 s for a plugin
	// that does not listen. A negative value means no bound. Plugins that take
	// longer continue to start; until they serve, [Store.Get] fails with an
	// [UnavailableError]. Before that wait NewManager settles upgrades by docker
	// that a crash interrupted, within a minute.
	BootWait time.Duration
	// LegacyWait bounds how long [Store.Get] waits for a legacy plugin that has
	// no socket or spec file yet, because the daemon and its legacy plugins may
	// start at the same time. Zero means docker's 15 s; a negative value means
	// that it does not wait.
	LegacyWait time.Duration
	// Backoff is the wait before the first restart of a plugin that ended by
	// itself; it doubles up to 30 s and starts over after 10 s of uptime.
	// Zero means 100 ms.
	Backoff time.Duration
	// Hardening restricts all plugins beyond docker's defaults. The zero value
	// adds no restrictions.
	Hardening Hardening
	// Redact, if not nil, edits the copies that [Manager.Inspect] and
	// [Manager.List] return, for example to mask secret settings. The plugin,
	// its record, its runs, events and [Manager.Get] are unaffected. It is
	// called with no lock held and may be called concurrently.
	Redact func(answer *types.Plugin)
	// Limits bound what the installation of a plugin may cost.
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
// The environment begins with the defaults of the plugin's config, in their
// order, and with the settings so far. A variable of the same name, compared
// with case, is replaced in its place; the last of several wins. Entries of
// another form are left out.
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

type dropLostSettings struct{}

// DropLostSettings returns a context with which [Manager.Upgrade] drops settings
// that the new version does not accept, and logs them in its progress and in the
// daemon's log. Without it such an upgrade fails with
// [github.com/dovetailhq/plugin/v2.LostSettingsError].
func DropLostSettings(ctx context.Context) context.Context {
	return context.WithValue(ctx, dropLostSettings{}, true)
}

// DropsLostSettings reports whether ctx was made by [DropLostSettings].
func DropsLostSettings(ctx context.Context) bool {
	return ctx.Value(dropLostSettings{}) != nil
}

// ImportReport is the result of [Manager.ImportLegacy]. The zero value reports an
// inventory without entries.
type ImportReport struct {
	// Inventory is the path of the inventory. It has the suffix ".imported" if the
	// import is done; otherwise an entry has failed for a reason that can pass, such as a full
	// disk, and the import can be repeated.
	Inventory string
	// Entries are those of the inventory, ordered by LegacyID.
	Entries []ImportedPlugin
}

// ImportedPlugin is one plugin of docker 1.12, imported or not.
type ImportedPlugin struct {
	// LegacyID is the ID in docker 1.12, which is the name of the directory. It still
	// refers to the plugin.
	LegacyID string
	// ID and Name are those of the plugin; ID is empty if it was not imported.
	ID, Name string
	// Err is why the plugin was not imported: an [ImportError] or a later error of the
	// verbs that install plugins. Nil if it was imported, now or by an earlier import.
	Err error
}
