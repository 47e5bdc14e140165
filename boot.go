// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/authorization"

	"github.com/dovetailhq/plugin/internal/backups"
	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/index"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/siblings"
	"github.com/dovetailhq/plugin/internal/supervise"
	v2 "github.com/dovetailhq/plugin/v2"
)

// parallelStarts bounds how many processes are created at once at boot. Processes
// that are not ready yet don't count: a plugin that never gets ready must not
// delay others.
const parallelStarts = 16

// groupHold bounds how long a group of plugins waits for an earlier group. The
// last group has most of the default BootWait even after two of these waits.
const groupHold = time.Second

// settlePatience bounds how long NewManager compares the versions of plugins that
// interrupted upgrades by docker left. BootWait begins later: without its version a
// record can't be loaded.
const settlePatience = time.Minute

// listPatience bounds one list of the executor's runs: executor/containerd takes ten
// seconds at most. A list that failed is repeated after listPause, which doubles up
// to maxListPause.
const (
	listPatience = 15 * time.Second
	listPause    = time.Second
	maxListPause = 30 * time.Second
)

var errListing = errors.New("the executor did not answer within " + listPatience.String())

var errSettling = errors.New("comparing the versions took too long")

// boot brings memory and processes in line with the disk. It fails when the disk
// can't be read: plugins that were not found would lose their blobs.
func (pm *Manager) boot() error {
	found, err := pm.root.Recover()
	if err != nil {
		return err
	}
	if err := pm.root.LoadExposed(bootID()); err != nil {
		pm.logger().WithError(err).Error("read the list of directories that plugins could write to")
	}
	if _, damaged := pm.root.Exposed(); damaged != "" {
		pm.logger().WithField("file", damaged).Warn("a list of directories that plugins could write to is damaged: repair it, or remove it if no plugin left links")
	}
	pm.settleBackups(found)
	pm.sweepAtBoot()
	pm.loadAndImport(found)
	settled := make(chan struct{})
	pm.background.Start(func() {
		defer close(settled)
		pm.startInOrder(pm.bootOrder())
		pm.endLeftovers()
		pm.takeOverDisabled()
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

// settleBackups completes or undoes upgrades by docker's manager that a crash
// interrupted, for settlePatience at most. A plugin of unknown version is broken.
func (pm *Manager) settleBackups(found []layout.Recovered) {
	ctx, cancel := context.WithTimeoutCause(pm.ctx, settlePatience, errSettling)
	defer cancel()
	settler := backups.Settler{Root: pm.root, Blobs: pm.blobs, Limits: pm.archiveLimits()}
	for i := range found {
		p, err := pm.decode(found[i])
		if !found[i].Backup || err != nil {
			continue
		}
		restored, err := settler.Settle(ctx, p)
		if leftover := (*layout.LeftoverError)(nil); errors.As(err, &leftover) {
			pm.warnOfLeftover(leftover, "remove old rootfs of an upgrade by docker")
			err = nil
		}
		if restored {
			pm.logger().WithField("plugin", p.Name()).Warn("undo upgrade that docker did not commit")
		}
		found[i].Err = err
	}
}

// sweepAtBoot deletes leftovers of the last manager. The collector deletes the
// rest if that takes long. Leftovers that can't be deleted are harmless.
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

// load fills the store. Until here an error leaves the store unchanged. A record
// that can't be read does not affect other plugins.
func (pm *Manager) load(found []layout.Recovered) {
	sound, broken := make(map[string]*v2.Plugin), make(map[string]error)
	for _, one := range found {
		p, err := pm.decode(one)
		if err != nil {
			pm.logger().WithError(err).WithField("plugin", one.ID).Error("read plugin record")
			broken[one.ID] = err
			pm.register(newBrokenUnit(&pm.host, one.ID, err))
			continue
		}
		sound[one.ID] = p
		pm.register(newUnit(&pm.host, p, nil))
	}
	pm.config.Store.legacy.Serve(pm.config.LegacyWait, pm.halted)
	pm.config.Store.harden(pm.config.Hardening)
	pm.config.Store.fill(sound, broken)
	pm.mu.Lock()
	defer pm.mu.Unlock()
	pm.loaded = true
}

func (pm *Manager) decode(found layout.Recovered) (*v2.Plugin, error) {
	if found.Err != nil {
		return nil, found.Err
	}
	p := &v2.Plugin{}
	if err := json.Unmarshal(found.Record, p); err != nil {
		return nil, err
	}
	if p.GetID() != found.ID {
		return nil, fmt.Errorf("the record belongs to plugin %q", p.GetID())
	}
	p.Rootfs = pm.root.Rootfs(found.ID)
	return p, nil
}

// bootOrder returns the enabled units in the groups that are started one after
// the other: authorization plugins, then network plugins, then the rest. As in
// docker, disabled plugins are not restored.
func (pm *Manager) bootOrder() [][]*unit {
	pm.mu.RLock()
	defer pm.mu.RUnlock()
	groups := make([][]*unit, 3)
	for _, u := range pm.units {
		if !u.plugin.IsEnabled() {
			continue
		}
		group := bootGroup(index.Capabilities(u.plugin))
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

// startInOrder starts the groups one after the other, and returns when each start
// has succeeded or failed. A plugin that does not get ready delays the next group
// by groupHold at most.
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

// startAll starts units in parallel. It returns when the first start of each has
// succeeded or failed, and the handlers have returned.
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
				// The supervisor reports a failure, and retries.
				_ = supervisor.First()
				u.awaitHandlers()
			}
		})
	}
	started.Wait()
}

// boot brings one plugin's process in line with its desired state. It returns
// the supervisor that it made, or nil if it made none.
func (u *unit) boot() *supervise.Supervisor {
	if u.operation.Lock(u.host.halted) != nil {
		return nil
	}
	defer u.operation.Unlock()
	if u.isIn(lifecycle.Removed) || u.host.observer.writable() != nil {
		return nil
	}
	u.takeOver()
	return u.inherit()
}

// takeOverDisabled pins the grants of disabled plugins, and removes the sockets
// that a crash during a disable left. The first verb on a plugin does both as
// well, but until then the granted sources could be changed.
func (pm *Manager) takeOverDisabled() {
	for _, u := range pm.allUnits() {
		if u.plugin.IsEnabled() {
			continue
		}
		if u.operation.Lock(pm.halted) != nil {
			return
		}
		if !u.isIn(lifecycle.Removed) && pm.writable() == nil {
			u.takeOver()
			if !u.isInherited() {
				u.process.Ended()
			}
		}
		u.operation.Unlock()
	}
}

// endLeftovers stops runs of disabled plugins, which a crash during a disable can
// leave, and runs of unknown IDs, which a crash during a removal or the loss of a
// record can leave. It waits for those of disabled plugins: the caller of
// NewManager finds them stopped. Runs of other managers of this process are left
// alone. If the executor can't list all runs, the list is repeated in the background.
func (pm *Manager) endLeftovers() {
	lister, ok := pm.executor.(RunLister)
	if !ok {
		return
	}
	line := bounded.NewLine()
	if !pm.endListed(lister, line) {
		pm.background.Start(func() { pm.endListedLater(lister, line) })
	}
}

// endListedLater repeats endListed until a list is complete or the manager ends.
func (pm *Manager) endListedLater(lister RunLister, line bounded.Line) {
	for pause := listPause; ; pause = min(2*pause, maxListPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-pm.halted.Done():
			timer.Stop()
			return
		}
		if pm.endListed(lister, line) {
			return
		}
	}
}

// endListed stops the leftovers that the executor lists. It returns false if the
// list can be incomplete.
func (pm *Manager) endListed(lister RunLister, line bounded.Line) (complete bool) {
	ids, err := pm.listRuns(lister, line)
	if pm.halted.Err() != nil {
		return false
	}
	if err != nil {
		pm.logger().WithError(err).Warn("list runs of disabled and unknown plugins: it will be repeated")
	}
	var disabled []*unit
	for _, id := range ids {
		if pm.isElsewhere(id) {
			continue
		}
		switch u, known := pm.leftover(id); {
		case u == nil:
			continue
		case known:
			disabled = append(disabled, u)
		default:
			u.logger().Warn("stop process of unknown plugin")
			u.boot()
		}
	}
	pm.startAll(disabled)
	return err == nil
}

// listRuns returns the runs that the executor lists within listPatience, also
// together with an error. A list that hangs does not overlap with the next.
func (pm *Manager) listRuns(lister RunLister, line bounded.Line) (ids []string, err error) {
	ctx, cancel := context.WithTimeoutCause(pm.halted, listPatience, errListing)
	defer cancel()
	type listed struct {
		ids []string
		err error
	}
	call, err := bounded.Start(ctx, line, func() (l listed, _ error) {
		l.ids, l.err = lister.Runs()
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	runs, _, err := call.Await(ctx)
	return runs.ids, errors.Join(runs.err, err)
}

// leftover returns the unit of a run to stop, or nil if the run is legitimate, and
// whether its plugin is known.
func (pm *Manager) leftover(id string) (u *unit, known bool) {
	pm.mu.RLock()
	u, known = pm.units[id]
	pm.mu.RUnlock()
	switch {
	case !known:
		return pm.adoptOrphan(id), false
	case u.plugin.IsEnabled() || u.isInherited():
		return nil, true
	}
	u.logger().Warn("stop process of disabled plugin")
	return u, true
}

// adoptOrphan makes a unit for the run of an unknown ID. Only exit reports find
// it, and it is dropped when its process has ended.
func (pm *Manager) adoptOrphan(id string) *unit {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	if _, known := pm.units[id]; known || pm.closed || !layout.IsID(id) {
		return nil
	}
	if pm.orphans[id] != nil {
		return nil // an earlier list had it
	}
	u := newUnit(&pm.host, &v2.Plugin{PluginObj: types.Plugin{ID: id, Name: id}}, errors.New("its plugin is not known"))
	u.closeLogbook() // there is no directory for it
	pm.orphans[id] = u
	return u
}

func (pm *Manager) forgetOrphan(u *unit) {
	pm.mu.Lock()
	defer pm.mu.Unlock()
	delete(pm.orphans, u.plugin.GetID())
}

// managers are the open managers of this process. Managers of different roots can
// share an executor, or a directory of executors, as in tests: the executor then
// lists the runs of all of them.
var managers siblings.Group[*Manager]

// join adds pm to managers. It drops managers that crashed in a test and were
// fenced by a newer manager.
func (pm *Manager) join() {
	for _, other := range managers.Others(pm) {
		if other.writable() != nil {
			managers.Part(other)
		}
	}
	managers.Join(pm)
}

// isElsewhere reports whether another manager of this process has plugin id.
func (pm *Manager) isElsewhere(id string) bool {
	return slices.ContainsFunc(managers.Others(pm), func(other *Manager) bool { return other.has(id) })
}

// has reports whether the manager serves plugin id. A manager that has joined and not
// loaded its records yet has the plugins on its disk.
func (pm *Manager) has(id string) bool {
	pm.mu.RLock()
	_, ok := pm.units[id]
	loaded := pm.loaded
	pm.mu.RUnlock()
	if !ok && !loaded && layout.IsID(id) {
		_, err := os.Lstat(pm.root.Plugin(id))
		ok = err == nil
	}
	return ok && pm.writable() == nil
}
