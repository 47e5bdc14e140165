package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// parallelStarts bounds how many processes are made at once at boot. Those
// that are made and not ready yet don't count: one plugin that never is must
// not keep others waiting.
const parallelStarts = 16

// groupHold is how long a group of plugins waits for an earlier one. Two of
// them leave the last group most of the default BootWait.
const groupHold = time.Second

// boot brings memory and processes in line with what is on disk. It fails when
// that is not known: plugins that were not found would lose their blobs.
func (pm *Manager) boot() error {
	found, err := pm.root.Recover()
	if err != nil {
		return err
	}
	pm.sweepAtBoot()
	pm.load(found)
	settled := make(chan struct{})
	pm.background.start(func() {
		defer close(settled)
		pm.startInOrder(pm.bootOrder())
		pm.background.start(pm.endOrphans)
	})
	if pm.config.BootWait < 0 {
		<-settled
		return nil
	}
	timer := time.NewTimer(pm.config.BootWait)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C:
		pm.logger().Warnf("plugins are still starting after %s", pm.config.BootWait)
	}
	return nil
}

// sweepAtBoot deletes what the last manager left. What takes long is left to the
// collector; what can't be deleted is in no verb's way.
func (pm *Manager) sweepAtBoot() {
	ctx, cancel := pm.files.Patient(pm.ctx)
	defer cancel()
	err := errors.Join(pm.root.Sweep(ctx), pm.blobs.SweepCrashed(), pm.sweepSockets(ctx))
	if ctx.Err() != nil {
		pm.requestGC()
	} else if err != nil {
		pm.logger().WithError(err).Warn("clean up plugin root")
	}
}

// load fills the store, which a manager that could not be made has left alone.
// A record that can't be read hides no other one.
func (pm *Manager) load(found []layout.Found) {
	sound, broken := make(map[string]*v2.Plugin), make(map[string]error)
	for _, one := range found {
		p, err := pm.decode(one)
		if err != nil {
			pm.logger().WithError(err).WithField("plugin", one.ID).Error("read plugin record")
			broken[one.ID] = err
			pm.register(newBrokenUnit(pm, one.ID, err))
			continue
		}
		sound[one.ID] = p
		pm.register(newUnit(pm, p, nil))
	}
	pm.config.Store.harden(pm.config.Hardening)
	pm.config.Store.fill(sound, broken)
}

func (pm *Manager) decode(found layout.Found) (*v2.Plugin, error) {
	if found.Err != nil {
		return nil, found.Err
	}
	p := &v2.Plugin{}
	if err := json.Unmarshal(found.Record, p); err != nil {
		return nil, err
	}
	if p.GetID() != found.ID {
		return nil, fmt.Errorf("the record is of plugin %q", p.GetID())
	}
	p.Rootfs = pm.root.Rootfs(found.ID)
	return p, nil
}

// bootOrder returns the units in the groups that are started one after the
// other: authorization plugins, then network plugins, then the rest.
func (pm *Manager) bootOrder() [][]*unit {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	groups := make([][]*unit, 3)
	for _, u := range pm.units {
		group := bootGroup(capabilitiesOf(u.plugin))
		groups[group] = append(groups[group], u)
	}
	return groups
}

func bootGroup(capabilities []string) int {
	switch {
	case slices.Contains(capabilities, authorization.AuthZApiImplements):
		return 0
	case slices.Contains(capabilities, "networkdriver"), slices.Contains(capabilities, "ipamdriver"):
		return 1
	}
	return 2
}

// startInOrder starts the groups one after the other, and returns when each
// start has settled. A plugin that does not get ready holds the next group up
// for no longer than groupHold.
func (pm *Manager) startInOrder(groups [][]*unit) {
	var starting sync.WaitGroup
	defer starting.Wait()
	for _, group := range groups {
		settled := make(chan struct{})
		starting.Go(func() {
			defer close(settled)
			pm.startAll(group)
		})
		timer := time.NewTimer(groupHold)
		select {
		case <-settled:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// startAll returns when the first start of each unit has settled, and the
// handlers have been called.
func (pm *Manager) startAll(units []*unit) {
	var started sync.WaitGroup
	slots := make(chan struct{}, parallelStarts)
	for _, u := range units {
		slots <- struct{}{}
		started.Go(func() {
			supervisor := u.boot()
			if supervisor != nil {
				<-supervisor.Begun()
			}
			<-slots
			if supervisor != nil {
				// The supervisor reports how it went, and retries.
				_ = supervisor.First()
				u.awaitHandlers()
			}
		})
	}
	started.Wait()
}

// boot brings one plugin's process in line with its desired state. It returns
// the supervisor of the process, or nil if there is to be none.
func (u *unit) boot() *supervise.Supervisor {
	if u.operation.lock(u.manager.halted) != nil {
		return nil
	}
	defer u.operation.unlock()
	if u.isIn(lifecycle.Removed) || u.manager.writable() != nil {
		return nil
	}
	return u.inherit()
}

// endOrphans ends the runs of ids that the manager does not know: of plugins
// whose removal a crash interrupted, or whose records are gone. Those that
// another manager of this process has are not among them.
func (pm *Manager) endOrphans() {
	lister, ok := pm.executor.(RunLister)
	if !ok {
		return
	}
	type listed struct {
		ids []string
		err error
	}
	runs, ok := answer(pm.config.StartTimeout, func() (l listed) {
		l.ids, l.err = lister.Runs()
		return l
	})
	if !ok || runs.err != nil {
		pm.logger().WithError(runs.err).Warn("list runs of unknown plugins")
	}
	for _, id := range runs.ids {
		if pm.isElsewhere(id) {
			continue
		}
		if u := pm.adoptOrphan(id); u != nil {
			u.logger().Warn("end process of unknown plugin")
			u.boot()
		}
	}
}

// adoptOrphan makes a unit for the run of an id that no plugin has. It is in no
// index but that for exit reports, and gone with its process.
func (pm *Manager) adoptOrphan(id string) *unit {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	if _, known := pm.units[id]; known || pm.closed || !layout.IsID(id) {
		return nil
	}
	u := newUnit(pm, &v2.Plugin{PluginObj: types.Plugin{ID: id, Name: id}}, errors.New("its plugin is not known"))
	u.closeLogbook() // there is no directory for it
	pm.orphans[id] = u
	return u
}

func (pm *Manager) forgetOrphan(u *unit) {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	delete(pm.orphans, u.plugin.GetID())
}
