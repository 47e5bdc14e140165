package plugin

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// unit is one plugin under management: its operation lock, its state and,
// from enable to disable, what supervises its process.
type unit struct {
	manager *Manager
	plugin  *v2.Plugin
	process *process
	logbook *logbook
	// outputRate is of all runs: a plugin that floods and exits is no better.
	outputRate rateLimit
	broken     error // why the record can't be read; nothing but removal works then

	// operation serialises verbs. It is held across I/O and is the outermost
	// lock; Disable gets past a start that holds it by interrupting that.
	operation sync.Mutex
	after     []func() // what release calls; guarded by operation

	callbacks sync.WaitGroup // calls of handlers that are under way

	mu         sync.Mutex // guards what follows
	state      lifecycle.State
	supervisor *supervise.Supervisor
	history    history
}

func newUnit(pm *Manager, p *v2.Plugin, broken error) *unit {
	u := &unit{manager: pm, plugin: p, broken: broken}
	u.history.since = time.Now()
	u.process = &process{unit: u}
	u.logbook = newLogbook(pm.root, p.GetID())
	return u
}

// register makes verbs find the unit.
func (pm *Manager) register(u *unit) {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	pm.units[u.plugin.GetID()] = u
}

// release ends a verb.
func (u *unit) release() {
	after := u.after
	u.after = nil
	u.operation.Unlock()
	for _, call := range after {
		call()
	}
}

// announce tells of a verb that is done: subscribers at once, so that they
// see the order of the verbs, and the daemon's log as the verb ends.
func (u *unit) announce(action events.Action, event Event) {
	u.manager.events.publish(event)
	u.after = append(u.after, func() {
		u.manager.config.LogPluginEvent(u.plugin.GetID(), u.plugin.Name(), action)
	})
}

// callHandlers calls the daemon's handlers on a goroutine of their own, from
// which they may call any verb.
func (u *unit) callHandlers() {
	u.callbacks.Add(1)
	u.manager.background.Go(func() {
		defer u.callbacks.Done()
		u.manager.config.Store.CallHandler(u.plugin)
	})
}

// fire changes the state, if the state machine allows it.
func (u *unit) fire(event lifecycle.Event) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	next, err := lifecycle.Next(u.state, event)
	if err != nil {
		return &BusyError{Name: u.plugin.Name(), Err: err}
	}
	u.state, u.history.since = next, time.Now()
	return nil
}

// refuseDuringUpgrade keeps verbs from waiting as long as a registry takes.
func (u *unit) refuseDuringUpgrade() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != lifecycle.Upgrading {
		return nil
	}
	return &BusyError{Name: u.plugin.Name(), Err: errors.New("it is being upgraded")}
}

func (u *unit) isRemoved() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state == lifecycle.Removed
}

// exited passes an exit report on. It takes no lock that is held across I/O.
func (u *unit) exited() {
	u.mu.Lock()
	supervisor := u.supervisor
	u.mu.Unlock()
	if supervisor != nil {
		supervisor.Exited()
	}
}

// supervise makes the supervisor that will run the plugin. The wish is the
// manager's own when it has to be kept although the first start fails.
func (u *unit) supervise(keepTrying bool) (*supervise.Supervisor, error) {
	if err := u.fire(lifecycle.Enable); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.history.restarts, u.history.down = 0, false
	config := u.manager.config
	u.supervisor = supervise.New(supervise.Config{
		Process:      u.process,
		StartTimeout: config.StartTimeout,
		StopTimeout:  config.StopTimeout,
		Backoff:      config.Backoff,
		KeepTrying:   keepTrying,
		Changed:      u.changed,
	})
	return u.supervisor, nil
}

// changed follows the supervisor. What comes while the plugin is being
// stopped is too late to matter.
func (u *unit) changed(event lifecycle.Event, err error, wait time.Duration) {
	if u.fire(event) != nil {
		return
	}
	if event == lifecycle.Defer {
		err = u.explain(err)
	}
	restarted := u.remember(event, err, wait)
	logger := u.logger()
	switch event {
	case lifecycle.Exit:
		exit := u.remembered().LastExit
		logger.WithField("exitCode", exit.Code).WithField("oomKilled", exit.OOMKilled).Warnf("plugin exited, starting it again in %s", wait.Round(time.Millisecond))
		u.manager.events.publish(EventExited{Plugin: u.plugin.Snapshot(), Exit: *exit})
	case lifecycle.Defer:
		logger.WithError(err).Warnf("plugin did not start, trying again in %s", wait.Round(time.Millisecond))
		u.manager.events.publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	case lifecycle.Ready:
		logger.Debug("plugin is ready")
		if u.plugin.IsEnabled() {
			u.callHandlers()
		}
		if restarted {
			u.manager.events.publish(EventRestarted{Plugin: u.plugin.Snapshot()})
		}
	}
}

// start begins supervision for a user, and returns once the plugin is ready
// or has failed; then it is disabled as before.
func (u *unit) start() error {
	supervisor, err := u.supervise(false)
	if err != nil {
		return err
	}
	supervisor.Start(u.manager.ctx)
	err = supervisor.First()
	if err == nil {
		return nil
	}
	err = u.explain(err)
	u.remember(lifecycle.Refuse, err, 0)
	u.manager.events.publish(EventStartFailed{Plugin: u.plugin.Snapshot(), Err: err})
	if stopErr := u.stop(); stopErr != nil {
		u.logger().WithError(stopErr).Error("stop plugin that did not start")
	}
	return err
}

// interruptStart ends a start that a user asked for, so that its verb returns
// and gives the operation lock back. It reports whether there was one.
func (u *unit) interruptStart() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != lifecycle.Starting || u.plugin.IsEnabled() {
		return false
	}
	u.supervisor.Interrupt()
	return true
}

// stop ends supervision and the process. The caller holds the operation lock.
func (u *unit) stop() error {
	u.mu.Lock()
	supervisor := u.supervisor
	u.mu.Unlock()
	if supervisor == nil {
		return nil
	}
	// From here on the supervisor's own steps come too late; a start that
	// was refused has ended already.
	stopping := u.fire(lifecycle.Disable) == nil
	err := supervisor.Stop()
	u.forget()
	if stopping {
		_ = u.fire(lifecycle.Stopped)
	}
	if err != nil {
		return &StorageError{Op: "stop", Name: u.plugin.Name(), Err: err}
	}
	return nil
}

func (u *unit) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.supervisor = nil
}

// left is called on every way out of enabled.
func (u *unit) left() {
	middleware := u.manager.config.AuthzMiddleware
	if middleware != nil && slices.Contains(capabilitiesOf(u.plugin), authorization.AuthZApiImplements) {
		middleware.RemovePlugin(u.plugin.Name())
	}
}

// shutdown ends the unit with its manager; the wish stays.
func (u *unit) shutdown() {
	u.interruptStart()
	u.operation.Lock()
	defer u.operation.Unlock()
	u.mu.Lock()
	supervisor := u.supervisor
	u.mu.Unlock()
	// A newer manager has the process, and its mounts.
	fenced := u.manager.root.Check() != nil
	if supervisor != nil && !fenced {
		u.left()
	}
	stays := supervisor != nil && u.manager.config.LiveRestoreEnabled
	if !fenced && !stays {
		u.halt()
	} else if supervisor != nil {
		supervisor.Detach()
	}
}

// halt leaves nothing of the plugin running or mounted.
func (u *unit) halt() {
	if err := u.stop(); err != nil {
		u.logger().WithError(err).Error("stop plugin at shutdown")
	}
	if err := unmountAll(u.manager.root.PropagatedMount(u.plugin.GetID())); err != nil {
		u.logger().WithError(err).Warn("unmount plugin data")
	}
}

// save writes the record of p, which describes this unit's plugin, perhaps
// with changes that are not published yet.
func (u *unit) save(op string, p *v2.Plugin) error {
	record, err := json.Marshal(p)
	if err == nil {
		err = u.manager.root.SaveRecord(u.plugin.GetID(), record)
	}
	if err != nil {
		return &StorageError{Op: op, Name: u.plugin.Name(), Err: err}
	}
	return nil
}

// wish writes whether the plugin is to run, and publishes it then.
func (u *unit) wish(enabled bool) error {
	wished := u.plugin.Clone()
	wished.SetEnabled(enabled)
	if err := u.save("save", wished); err != nil {
		return err
	}
	u.manager.config.Store.SetState(u.plugin, enabled)
	return nil
}

func (u *unit) logger() logging.Entry {
	return logging.G(u.manager.ctx).WithField("plugin", u.plugin.GetID()).WithField("name", u.plugin.Name())
}

func (u *unit) closeLogbook() {
	if err := u.logbook.close(); err != nil {
		u.logger().WithError(err).Warn("close file of plugin output")
	}
}
