package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/remote"
	"github.com/dovetailhq/plugin/internal/rootfs"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Manager controls the plugins below one root directory. Make one with
// [NewManager] and end it with [Manager.Shutdown].
//
// All methods may be called concurrently. Verbs on one plugin are serialised,
// with one exception: disabling or removing by force interrupts a start that
// is under way. Verbs on different plugins don't wait for each other.
//
// Plugins are named by id, by name, of which the default registry and tag may
// be left out, or by a prefix of the id that no other plugin shares; errors of
// every verb that takes such a reference are [NotFoundError] and
// [AmbiguousError]. A verb that changes something fails with [FencedError]
// once the manager was shut down or a newer manager of the same process took
// its root over. A verb that returned nil has reached the disk.
type Manager struct {
	config   ManagerConfig
	executor Executor
	events   broadcaster
	files    *durable.FS
	root     *layout.Root
	blobs    *blobs.Store
	remote   *remote.Client
	sockets  sockets
	execRoot *socketpath.Directory
	archives *rootfs.Budget // what unpacking may take of memory, over all verbs
	answers  chan struct{}  // has room for each long answer of a plugin that is being read

	creates   places
	transfers places // with registries

	// ctx ends with the manager; background and callbacks, which runs code of
	// the daemon, have to end before it.
	ctx        context.Context
	cancel     context.CancelFunc
	halted     context.Context // ends as Shutdown begins
	halt       context.CancelFunc
	ended      chan struct{} // closed as Shutdown ends
	background tasks
	callbacks  tasks
	garbage    chan struct{} // asks the collector for a sweep

	sweepingSockets chan struct{} // holds one while they are swept

	mu      sync.RWMutex
	units   map[string]*unit // by id, those of broken plugins too
	orphans map[string]*unit // by id, while their processes are ended
	closed  bool
}

// NewManager takes over config.Root, which no other process may manage at the
// same time, cleans up what a crash left, and loads the plugins. Enabled
// plugins are started in parallel: authorization plugins first, then network
// plugins, then the rest. It returns when each of them runs or has failed once,
// or after [ManagerConfig.BootWait], 5 s by default. A plugin that failed is
// retried, with growing waits, until it is disabled.
//
// Processes that an earlier manager left are taken over, replaced or stopped,
// those of unknown plugins too if the executor is a [RunLister]. As long as it
// is not known whether one lives no second one is started.
//
// Errors: [ConfigError], [RootInUseError], the error of CreateExecutor, and
// those of the file system. Nothing is left running after an error.
func NewManager(config ManagerConfig) (_ *Manager, retErr error) {
	defer plain(&retErr)
	files := durable.Default
	return newManager(config, &files, supervise.NewSockets())
}

// sockets waits for plugins to listen, as [supervise.Sockets] does.
type sockets interface {
	Await(ctx context.Context, dir, name string) error
	Close() error
}

// newManager is NewManager on files of its own, with or without faults, and on
// sockets of its own, for which virtual time may pass.
func newManager(config ManagerConfig, files *durable.FS, waiting sockets) (_ *Manager, err error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	halted, halt := context.WithCancel(ctx)
	pm := &Manager{
		config:   config.withDefaults(),
		files:    files,
		sockets:  waiting,
		ctx:      ctx,
		cancel:   cancel,
		halted:   halted,
		halt:     halt,
		ended:    make(chan struct{}),
		garbage:  make(chan struct{}, 1),
		archives: rootfs.NewBudget(),
		answers:  make(chan struct{}, maxLongAnswers),

		creates:   newPlaces(cmp.Or(config.Limits.Creates, defaultCreates)),
		transfers: newPlaces(cmp.Or(config.Limits.Transfers, defaultTransfers)),

		sweepingSockets: make(chan struct{}, 1),
		units:           make(map[string]*unit),
		orphans:         make(map[string]*unit),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, pm.close())
		}
	}()
	if err := pm.open(); err != nil {
		return nil, err
	}
	// Beside an error there may be a nil pointer that is not a nil Executor.
	executor, err := config.CreateExecutor(pm)
	if err != nil {
		return nil, err
	}
	pm.executor = executor
	pm.join()
	if err := pm.boot(); err != nil {
		return nil, err
	}
	pm.background.start(pm.collect)
	return pm, nil
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
		Endpoints:     pm.config.RegistryService,
		Platform:      pm.config.Platform,
		ManifestBytes: pm.config.Limits.ManifestBytes,
		ConfigBytes:   pm.config.Limits.ConfigBytes,
	}
}

// openExecRoot makes the directory of sockets. Like Root it is taken for what
// it is now if there are links on the way, and a plugin's mounts need a path
// that is absolute.
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
// [BrokenError] besides those of every reference.
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
// that comes twice, late or for a process that still lives does no harm: it is
// checked against IsRunning, and where that contradicts it during a stop, the
// process gets SIGKILL. Errors: [NotFoundError].
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

// interruptStart makes way for a verb that ends what a user's Enable began.
func (pm *Manager) interruptStart(refOrID, by string) bool {
	u, err := pm.unit(refOrID)
	return err == nil && u.interruptStart(by)
}

// acquire returns the unit that a reference names, locked: the plugin exists
// and no other verb works on it until release, which then calls what the verb
// left to be called with no lock held. It waits for other verbs until ctx, or
// the manager, ends, and for no upgrade.
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
	if err := u.operation.lock(ctx); err != nil {
		return nil, nil, err
	}
	if u.isIn(lifecycle.Removed) {
		u.operation.unlock()
		return nil, nil, &NotFoundError{Ref: refOrID}
	}
	err = pm.writable()
	if err == nil {
		err = u.refuseDuringUpgrade() // one that was queued before this verb
	}
	if err != nil {
		u.operation.unlock()
		return nil, nil, err
	}
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

// untilShutdown returns a copy of ctx that also ends as Shutdown begins.
func (pm *Manager) untilShutdown(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(pm.halted, func() { cancel(&FencedError{Root: pm.root.Dir()}) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (pm *Manager) logger() logging.Entry { return logging.G(pm.ctx) }
