// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/broadcast"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/index"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/logbook"
	"github.com/dovetailhq/plugin/internal/logging"
	"github.com/dovetailhq/plugin/internal/seam"
	"github.com/dovetailhq/plugin/internal/socketpath"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// host is what a unit uses of its manager. It has no verbs.
type host struct {
	config   ManagerConfig
	executor Executor // set before the first unit is made; nil if there is none
	files    *durable.FS
	root     *layout.Root
	execRoot *socketpath.Directory
	sockets  seam.Sockets
	answers  chan struct{} // bounds how many long answers of plugins are read at a time
	events   *broadcast.Broadcaster[Event]

	ctx       context.Context // ends when Shutdown has stopped the plugins
	halted    context.Context // ends when Shutdown begins
	callbacks bounded.Tasks

	observer observer
}

// observer is the part of the manager that units call.
type observer interface {
	// writable returns an error if the manager may no longer change anything.
	writable() error
	// exposed returns the directories in which plugins may have left links, as the
	// start of a plugin sees them.
	exposed(*v2.Plugin) v2.Exposed
	// requestGC asks for a sweep of what a run left.
	requestGC()
	// forgetOrphan drops a unit without a plugin after its process has ended.
	forgetOrphan(*unit)
}

// unit is one plugin under management: its operation lock, its actual state
// and, from enable until no process is left, the supervisor of its process.
type unit struct {
	host    *host
	plugin  *v2.Plugin
	process *process
	logbook *logbook.Book
	// outputRate spans all runs, so that a plugin that floods and exits gets no
	// fresh allowance.
	outputRate logbook.Rate
	broken     error // why the record can't be read; only removal works then
	diagnosis  bounded.Line

	// operation serialises verbs. It is held across I/O and is the outermost
	// lock. Disable interrupts a start that holds it.
	operation  bounded.Lock
	after      []func() // callbacks that release runs; guarded by operation
	takenOver  bool     // takeOver has run; guarded by operation
	endUpgrade func()   // ends the upgrade in progress; guarded by operation

	mu         sync.Mutex // guards what follows
	state      lifecycle.State
	supervisor *supervise.Supervisor // set and cleared with state
	inherited  bool                  // no unsupervised process of an earlier manager can be left
	closed     bool                  // the manager ends: no more supervisors are made
	handlers   chan struct{}         // closed when the handlers of the newest start have returned
	history    history

	availability availability
}

func newUnit(h *host, p *v2.Plugin, broken error) *unit {
	u := &unit{host: h, plugin: p, broken: broken, diagnosis: bounded.NewLine(), operation: bounded.NewLock()}
	p.SetExposed(func() v2.Exposed { return h.observer.exposed(p) })
	u.history.since = time.Now()
	u.availability.down = u.history.since
	u.process = &process{unit: u}
	u.logbook = logbook.New(h.root, p.GetID())
	if broken == nil {
		u.reach()
	}
	return u
}

// newInstalledUnit is newUnit for a plugin that is installed now: no earlier
// manager has run it.
func newInstalledUnit(h *host, p *v2.Plugin) *unit {
	u := newUnit(h, p, nil)
	u.inherited, u.takenOver = true, true
	return u
}

// register makes the unit visible to verbs and to the Store.
func (pm *Manager) register(u *unit) {
	pm.mu.Lock()
	pm.units[u.plugin.GetID()] = u
	pm.mu.Unlock()
	pm.config.Store.attend(u.plugin.GetID(), u)
}

// callbackTime bounds how long a verb that is done waits for the daemon's
// callbacks.
const callbackTime = 10 * time.Second

// release ends a verb: it unlocks the unit and runs the callbacks of the verb, in
// order. It waits for them for callbackTime at most.
func (u *unit) release() {
	after := u.after
	u.after = nil
	u.operation.Unlock()
	if len(after) == 0 {
		return
	}
	returned := make(chan struct{})
	u.host.callbacks.Start(func() {
		defer close(returned)
		for _, call := range after {
			u.guard(call)
		}
	})
	timer := time.NewTimer(callbackTime)
	defer timer.Stop()
	select {
	case <-returned:
	case <-u.host.halted.Done():
	case <-timer.C:
		u.logger().Warnf("a callback of the daemon has not returned after %s", callbackTime)
	}
}

// announce reports a verb that is done: to subscribers at once, so that they see
// verbs in order, and to LogPluginEvent when the verb ends.
func (u *unit) announce(action events.Action, event Event) {
	u.host.events.Publish(event)
	u.after = append(u.after, func() {
		u.host.config.LogPluginEvent(u.plugin.GetID(), u.plugin.Name(), action)
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

// refuseDuringUpgrade returns an error during an upgrade, so that verbs don't
// wait for a registry.
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

// save writes the record of p: this unit's plugin, or a copy with changes that
// are not published yet.
func (u *unit) save(op string, p *v2.Plugin) error {
	record, err := json.Marshal(p)
	if err == nil {
		err = u.host.root.SaveRecord(u.plugin.GetID(), record)
	}
	if err != nil {
		return &StorageError{Op: op, Name: u.plugin.Name(), Err: err}
	}
	return nil
}

// saveEnabled commits the desired state, then publishes it.
func (u *unit) saveEnabled(enabled bool) error {
	desired := u.plugin.Clone()
	desired.SetEnabled(enabled)
	if err := u.save("save", desired); err != nil {
		return err
	}
	if enabled {
		u.plugin.ForgetReferences() // those that a forced disable ignored
	}
	u.host.config.Store.SetState(u.plugin, enabled)
	return nil
}

func (u *unit) logger() logging.Entry {
	return logging.G(u.host.ctx).WithField("plugin", u.plugin.GetID()).WithField("name", u.plugin.Name())
}

func (u *unit) closeLogbook() {
	if err := u.logbook.Close(); err != nil {
		u.logger().WithError(err).Warn("close file of plugin output")
	}
}

// newBrokenUnit makes the unit of a broken plugin: its record can't be read. The
// Store has only its ID, so that references find it but nothing uses it.
func newBrokenUnit(h *host, id string, reason error) *unit {
	return newUnit(h, &v2.Plugin{
		PluginObj: types.Plugin{
			ID:     id,
			Name:   id,
			Config: types.PluginConfig{Description: "broken: " + reason.Error()},
		},
	}, reason)
}

func (pm *Manager) brokenUnits() []*unit {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	var all []*unit
	for _, u := range pm.units {
		if u.broken != nil {
			all = append(all, u)
		}
	}
	return all
}

// allPlugins returns all plugins, ordered by name. Broken plugins are included.
func (pm *Manager) allPlugins() []*v2.Plugin {
	all := pm.config.Store.all()
	if broken := pm.brokenPlugins(); len(broken) > 0 {
		all = append(all, broken...)
		slices.SortFunc(all, index.Compare)
	}
	return all
}

// brokenPlugins returns the placeholders of broken plugins.
func (pm *Manager) brokenPlugins() []*v2.Plugin {
	var all []*v2.Plugin
	for _, u := range pm.brokenUnits() {
		all = append(all, u.plugin)
	}
	return all
}
