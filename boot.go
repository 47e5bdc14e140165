package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// parallelStarts bounds how many processes are made at once at boot. Those
// that are made and not ready yet don't count: one plugin that never is must
// not keep others waiting.
const parallelStarts = 16

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
	pm.background.Go(func() {
		defer close(settled)
		for _, group := range pm.bootOrder() {
			startAll(group)
		}
	})
	if pm.config.BootWait == 0 {
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

// load fills the store. A record that can't be read hides no other one.
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
// other: who may forbid things first, then who connects, then the rest.
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

// startAll returns when the first start of each unit has settled, and the
// handlers have been told of it.
func startAll(units []*unit) {
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
				// How it went is logged, and tried again, by the supervisor.
				_ = supervisor.First()
				u.callbacks.Wait()
			}
		})
	}
	started.Wait()
}

// boot brings one plugin's process in line with its wish. It returns what
// supervises the process, or nil if there is to be none.
func (u *unit) boot() *supervise.Supervisor {
	u.operation.Lock()
	defer u.operation.Unlock()
	if u.isRemoved() || u.manager.writable() != nil {
		return nil
	}
	wished := u.plugin.IsEnabled()
	alive := u.restore()
	keep := wished && u.manager.config.LiveRestoreEnabled && u.plugin.Validate() == nil
	if alive && !keep {
		u.endStray()
		alive = false
	}
	if !wished {
		u.process.Ended() // a crash may have left its sockets
		return nil
	}
	return u.supervised(alive)
}

// supervised has the plugin run from now on: the process that lives, or a new
// one. It returns nil when the state does not allow that.
func (u *unit) supervised(alive bool) *supervise.Supervisor {
	supervisor, err := u.supervise(true)
	if err != nil {
		u.logger().WithError(err).Error("start plugin")
		return nil
	}
	if alive {
		supervisor.Adopt(u.manager.ctx)
	} else {
		supervisor.Start(u.manager.ctx)
	}
	return supervisor
}

// restore asks the executor for a process that an earlier manager left.
func (u *unit) restore() (alive bool) {
	if u.manager.executor == nil {
		return false
	}
	alive, err := u.process.restore()
	if err != nil {
		u.logger().WithError(err).Error("restore plugin")
	}
	return alive
}

// endStray stops a process that nobody wishes to run.
func (u *unit) endStray() {
	supervisor, err := u.supervise(false)
	if err == nil {
		supervisor.Adopt(u.manager.ctx)
		err = u.stop()
	}
	if err != nil {
		u.logger().WithError(err).Error("stop plugin that an earlier manager left")
	}
}
