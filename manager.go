// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/pluginclient"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	"github.com/dovetailhq/plugin/internal/seam"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Manager controls the plugins below one root directory. Make one with
// [NewManager] and end it with [Manager.Shutdown].
//
// All methods may be called concurrently. Verbs on one plugin are serialised,
// with one exception: disabling or removing by force interrupts a start in
// progress. Verbs on different plugins don't wait for each other.
//
// A plugin reference is an ID, an unambiguous prefix of an ID, or a name; the
// default registry and tag may be omitted from a name. Methods that take a
// reference return [NotFoundError] or [AmbiguousError] if it does not resolve.
// A verb that changes something fails with [FencedError] once the manager was
// shut down or a newer manager of the same process took its root over. When a
// verb returns nil, its effect is durable.
type Manager struct {
	host

	blobs    *blobs.Store
	remote   *remote.Client
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // to registries, or nil
	archives *rootfs.Budget                                                       // memory for unpacking, over all verbs

	importing bounded.Lock // held by an import from docker 1.12
	creates   bounded.Places
	transfers bounded.Places // with registries

	cancel     context.CancelFunc // ends ctx
	halt       context.CancelFunc // ends halted
	ended      chan struct{}      // closed as Shutdown ends
	background bounded.Tasks
	garbage    chan struct{} // asks the collector for a sweep

	sweepingSockets bounded.Lock

	mu      sync.RWMutex
	units   map[string]*unit // by ID; broken plugins included
	orphans map[string]*unit // by ID, while their processes are stopped
	loaded  bool             // units has all plugins on the disk
	closed  bool
}

// NewManager takes over config.Root, which no other process may manage at the
// same time, cleans up what a crash left, and loads the plugins. Enabled
// plugins are started in parallel: authorization plugins first, then network
// plugins, then the rest. It returns when each of them runs or has failed once,
// or after [ManagerConfig.BootWait], 5 s by default. A plugin that failed is
// retried, with growing waits, until it is disabled.
//
// Processes of enabled plugins that an earlier manager left are taken over or
// replaced. Processes of disabled and unknown plugins are stopped if the executor
// is a [RunLister]; otherwise the first verb on a disabled plugin stops its
// process. While the state of a process is unknown, no second process is started.
//
// Errors: [ConfigError], [RootInUseError], the error of CreateExecutor, and
// those of the file system. Nothing is left running after an error.
func NewManager(config ManagerConfig) (_ *Manager, retErr error) {
	defer plain(&retErr)
	files := durable.Default
	return newManager(config, seam.Parts{Files: &files, Sockets: supervise.NewSockets()})
}

func init() {
	seam.NewManager = func(config any, parts seam.Parts) (any, error) {
		return newManager(config.(ManagerConfig), parts)
	}
	seam.HoldOperation = func(manager any, name string) (release func(), free bool) {
		u, err := manager.(*Manager).unit(name)
		if err != nil {
			return nil, false
		}
		return u.operation.Unlock, u.operation.TryLock()
	}
}

// newManager is NewManager with parts that tests replace.
func newManager(config ManagerConfig, parts seam.Parts) (_ *Manager, err error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	pm := unopened(config.withDefaults(), parts)
	defer func() {
		if err != nil {
			err = errors.Join(err, pm.close())
		}
	}()
	if err := pm.open(); err != nil {
		return nil, err
	}
	pm.join() // before another manager can see a run of this one
	// Together with an error there may be a nil pointer in a non-nil Executor.
	executor, err := config.CreateExecutor(pm)
	if err != nil {
		return nil, err
	}
	pm.executor = executor
	if err := pm.boot(); err != nil {
		return nil, err
	}
	pm.background.Start(pm.collect)
	return pm, nil
}

// unopened returns a manager that has acquired nothing yet.
func unopened(config ManagerConfig, parts seam.Parts) *Manager {
	ctx, cancel := context.WithCancel(context.Background())
	halted, halt := context.WithCancel(ctx)
	pm := &Manager{
		host: host{
			config:  config,
			events:  newBroadcaster(),
			files:   parts.Files,
			sockets: parts.Sockets,
			ctx:     ctx,
			halted:  halted,
			answers: make(chan struct{}, pluginclient.MaxLongAnswers),
		},
		dial:     parts.Dial,
		cancel:   cancel,
		halt:     halt,
		ended:    make(chan struct{}),
		garbage:  make(chan struct{}, 1),
		archives: rootfs.NewBudget(),

		importing: bounded.NewLock(),
		creates:   bounded.NewPlaces(cmp.Or(config.Limits.Creates, defaultCreates)),
		transfers: bounded.NewPlaces(cmp.Or(config.Limits.Transfers, defaultTransfers)),

		sweepingSockets: bounded.NewLock(),
		units:           make(map[string]*unit),
		orphans:         make(map[string]*unit),
	}
	pm.observer = pm
	return pm
}

func (pm *Manager) open() (err error) {
	if pm.root, err = layout.Open(pm.config.Root, pm.files); err != nil {
		return err
	}
	if err := pm.openExecRoot(); err != nil {
		return err
	}
	if pm.blobs, err = blobs.Open(pm.root.Storage(), pm.files); err != nil {
		return err
	}
	pm.remote = remote.New(pm.remoteOptions())
	return nil
}

func (pm *Manager) remoteOptions() remote.Options {
	return remote.Options{
		Blobs:         pm.blobs,
		Dial:          pm.dial,
		Endpoints:     pm.config.RegistryService,
		Platform:      pm.config.Platform,
		ManifestBytes: pm.config.Limits.ManifestBytes,
		ConfigBytes:   pm.config.Limits.ConfigBytes,
	}
}

// openExecRoot makes the directory of sockets and resolves links on the way to
// it, as layout.Open does for Root. A plugin's mounts need an absolute path.
func (pm *Manager) openExecRoot() error {
	if err := pm.files.MkdirAll(pm.config.ExecRoot, 0o700); err != nil {
		return err
	}
	absolute, err := filepath.Abs(pm.config.ExecRoot)
	if err != nil {
		return err
	}
	if pm.config.ExecRoot, err = filepath.EvalSymlinks(absolute); err != nil {
		return err
	}
	if _, err := pm.files.CanMove(pm.config.ExecRoot, pm.config.ExecRoot); err != nil {
		return fmt.Errorf("use directory of sockets %s: %w", pm.config.ExecRoot, err)
	}
	pm.execRoot = socketpath.New(pm.config.ExecRoot)
	return nil
}

// Get returns the plugin that a reference names, enabled or not. Errors:
// [NotFoundError], [AmbiguousError], [BrokenError].
func (pm *Manager) Get(idOrName string) (_ *v2.Plugin, retErr error) {
	defer plain(&retErr)
	u, err := pm.unit(idOrName)
	if err != nil {
		return nil, err
	}
	if u.broken != nil {
		return nil, &BrokenError{ID: u.plugin.GetID(), Err: u.broken}
	}
	return u.plugin, nil
}

// HandleExitEvent takes an executor's report that the process of plugin id
// ended. It never blocks and may be called from inside the executor. A report
// that is repeated, late or wrong is harmless: the manager checks it by
// IsRunning. If a process turns out to live during a stop, it gets SIGKILL.
// Errors: [NotFoundError].
func (pm *Manager) HandleExitEvent(id string) (retErr error) {
	defer plain(&retErr)
	pm.mu.RLock()
	u, ok := pm.units[id]
	if !ok {
		u, ok = pm.orphans[id]
	}
	pm.mu.RUnlock()
	if !ok {
		return &NotFoundError{Ref: id}
	}
	u.exited()
	return nil
}

func (pm *Manager) allUnits() []*unit {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	return pm.unitsLocked()
}

func (pm *Manager) unitsLocked() []*unit {
	return slices.AppendSeq(slices.Collect(maps.Values(pm.units)), maps.Values(pm.orphans))
}

// writable returns why a verb that changes something can't begin.
func (pm *Manager) writable() error {
	pm.mu.RLock()
	closed := pm.closed
	pm.mu.RUnlock()
	if closed {
		return &FencedError{Root: pm.root.Dir()}
	}
	return pm.root.Check()
}

// unit returns the unit that a reference names.
func (pm *Manager) unit(refOrID string) (*unit, error) {
	id, err := pm.config.Store.resolve(refOrID)
	if err != nil {
		return nil, err
	}
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	u, ok := pm.units[id]
	if !ok {
		return nil, &NotFoundError{Ref: refOrID}
	}
	return u, nil
}

// interruptStart interrupts a start by a user's Enable, so that the verb named by
// can have the operation lock. It reports whether there was such a start.
func (pm *Manager) interruptStart(refOrID, by string) bool {
	u, err := pm.unit(refOrID)
	return err == nil && u.interruptStart(by)
}

// acquire returns the unit that a reference names, with its operation lock held:
// the plugin exists and no other verb works on it until release. After unlocking,
// release runs the unit's callbacks. acquire waits for other verbs until ctx ends
// or Shutdown begins; during an upgrade it fails at once.
func (pm *Manager) acquire(ctx context.Context, refOrID string) (u *unit, release func(), err error) {
	if err := pm.writable(); err != nil {
		return nil, nil, err
	}
	if u, err = pm.unit(refOrID); err != nil {
		return nil, nil, err
	}
	if err := u.refuseDuringUpgrade(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	if err := u.operation.Lock(ctx); err != nil {
		return nil, nil, err
	}
	if u.isIn(lifecycle.Removed) {
		u.operation.Unlock()
		return nil, nil, &NotFoundError{Ref: refOrID}
	}
	err = pm.writable()
	if err == nil {
		err = u.refuseDuringUpgrade() // an upgrade that queued before this verb
	}
	if err != nil {
		u.operation.Unlock()
		return nil, nil, err
	}
	u.takeOver()
	return u, u.release, nil
}

// acquireReadable is acquire for verbs that need the record.
func (pm *Manager) acquireReadable(ctx context.Context, refOrID string) (u *unit, release func(), err error) {
	u, release, err = pm.acquire(ctx, refOrID)
	if err == nil && u.broken != nil {
		release()
		return nil, nil, &BrokenError{ID: u.plugin.GetID(), Err: u.broken}
	}
	return u, release, err
}

// untilShutdown returns a copy of ctx that also ends when Shutdown begins.
func (pm *Manager) untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(pm.halted, func() { cancel(&FencedError{Root: pm.root.Dir()}) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (pm *Manager) logger() logging.Entry { return logging.G(pm.ctx) }
