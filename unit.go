package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// unit is one plugin under management: its operation lock, its actual state
// and, from enable until no process is left, the supervisor of its process.
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
	operation operation
	after     []func() // what release calls; guarded by operation

	mu         sync.Mutex // guards what follows
	state      lifecycle.State
	supervisor *supervise.Supervisor // set and cleared with state
	inherited  bool                  // no process of an earlier manager can be left that is not supervised
	closed     bool                  // the manager ends: no supervisor is made any more
	handlers   chan struct{}         // closed when the handlers of the newest start have returned
	history    history

	availability availability
}

func newUnit(pm *Manager, p *v2.Plugin, broken error) *unit {
	u := &unit{manager: pm, plugin: p, broken: broken, operation: newOperation()}
	p.SetOthersWritable(func() []string { return pm.writableByOthers(p) })
	u.history.since = time.Now()
	u.availability.down = u.history.since
	u.process = &process{unit: u}
	u.logbook = newLogbook(pm.root, p.GetID())
	if broken == nil {
		u.reach()
	}
	return u
}

// newInstalledUnit is newUnit for a plugin that no earlier manager has run.
func newInstalledUnit(pm *Manager, p *v2.Plugin) *unit {
	u := newUnit(pm, p, nil)
	u.inherited = true
	return u
}

// register makes verbs find the unit, and the Store ask it.
func (pm *Manager) register(u *unit) {
	pm.mu.Lock()
	pm.units[u.plugin.GetID()] = u
	pm.mu.Unlock()
	pm.config.Store.attend(u.plugin.GetID(), u)
}

// operation is a lock that can be waited for with a context.
type operation chan struct{}

func newOperation() operation { return make(operation, 1) }

// lock blocks until the lock is held, or returns the cause of the end of ctx.
func (o operation) lock(ctx context.Context) error {
	select {
	case o <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (o operation) unlock() { <-o }

// callbackTime is how long a verb that is done waits for callbacks of the
// daemon that it calls as it ends.
const callbackTime = 10 * time.Second

// release ends a verb, and calls what it left to be called, in order. Callbacks
// that hang are left to the manager.
func (u *unit) release() {
	after := u.after
	u.after = nil
	u.operation.unlock()
	if len(after) == 0 {
		return
	}
	returned := make(chan struct{})
	u.manager.callbacks.start(func() {
		defer close(returned)
		for _, call := range after {
			u.guard(call)
		}
	})
	timer := time.NewTimer(callbackTime)
	defer timer.Stop()
	select {
	case <-returned:
	case <-u.manager.halted.Done():
	case <-timer.C:
		u.logger().Warnf("a callback of the daemon has not returned after %s", callbackTime)
	}
}

// announce reports a verb that is done: to subscribers at once, so that they
// see the order of the verbs, and to the daemon's log as the verb ends.
func (u *unit) announce(action events.Action, event Event) {
	u.manager.events.publish(event)
	u.after = append(u.after, func() {
		u.manager.config.LogPluginEvent(u.plugin.GetID(), u.plugin.Name(), action)
	})
}

// fire changes the state, if the state machine allows it.
func (u *unit) fire(event lifecycle.Event) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fireLocked(event)
}

func (u *unit) fireLocked(event lifecycle.Event) error {
	next, err := lifecycle.Next(u.state, event)
	if err != nil {
		return &BusyError{Name: u.plugin.Name(), Err: err}
	}
	if next != u.state {
		u.state, u.history.since = next, time.Now()
	}
	u.availability.moved(event)
	return nil
}

// refuseDuringUpgrade keeps verbs from waiting as long as a registry takes.
func (u *unit) refuseDuringUpgrade() error {
	if !u.isIn(lifecycle.Upgrading) {
		return nil
	}
	return &BusyError{Name: u.plugin.Name(), Err: errors.New("it is being upgraded")}
}

func (u *unit) isIn(state lifecycle.State) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state == state
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

// saveEnabled commits the desired state, and publishes it then.
func (u *unit) saveEnabled(enabled bool) error {
	desired := u.plugin.Clone()
	desired.SetEnabled(enabled)
	if err := u.save("save", desired); err != nil {
		return err
	}
	if enabled {
		u.plugin.ForgetReferences() // of before a forced disable
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
