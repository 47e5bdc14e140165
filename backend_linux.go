package plugin

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

// Enable starts a plugin, and returns once its socket accepts connections. A
// plugin that does not get there is stopped and stays disabled.
//
// config.Timeout is how many seconds each later call to the plugin may take,
// 0 for no limit; a nil config means 0. How long the start may take is
// [ManagerConfig.StartTimeout].
//
// Errors: [EnabledError], [StartError], [BusyError], and class System when
// the desired state can't be written.
func (pm *Manager) Enable(refOrID string, config *backend.PluginEnableConfig) (retErr error) {
	defer plain(&retErr)
	timeout, err := callTimeout(config)
	if err != nil {
		return err
	}
	u, release, err := pm.acquireReadable(pm.ctx, refOrID)
	if err != nil {
		return err
	}
	defer release()
	if u.plugin.IsEnabled() {
		return fmt.Errorf("plugin already enabled: %w", &EnabledError{Name: u.plugin.Name()})
	}
	earlier := u.plugin.Timeout()
	defer func() {
		if retErr != nil {
			u.plugin.SetTimeout(earlier)
		}
	}()
	u.plugin.SetTimeout(timeout)
	if err := u.startForUser(); err != nil {
		return err
	}
	if err := u.saveEnabled(true); err != nil {
		if stopErr := u.stop(pm.ctx); stopErr != nil {
			u.logger().WithError(stopErr).Error("stop plugin that can't be enabled")
		}
		return err
	}
	// Committed: from here on the plugin is enabled, also after a crash.
	u.after = append(u.after, func() { pm.config.Store.CallHandler(u.plugin) })
	u.announce(events.ActionEnable, EventEnable{Plugin: u.plugin.Snapshot()})
	return nil
}

func callTimeout(config *backend.PluginEnableConfig) (time.Duration, error) {
	if config == nil {
		return 0, nil
	}
	if config.Timeout < 0 {
		return 0, &InvalidError{What: "timeout", Err: errors.New("it is negative: give seconds, or 0 for no limit")}
	}
	return time.Duration(config.Timeout) * time.Second, nil
}

// Disable stops a plugin, or interrupts its start. A plugin that something
// holds a reference to is disabled only if config.ForceDisable is set; a nil
// config means it is not. References that were ignored count until the plugin
// is enabled again. A plugin that ignores SIGTERM is killed after
// [ManagerConfig.StopTimeout]. What is mounted in the plugin's directory is
// detached when its process is gone.
//
// Errors: [DisabledError], [InUseError], and class System when the desired
// state can't be written or the process can't be stopped. In the latter case
// the plugin is disabled, and stopping until its process is gone: the manager
// goes on trying, and so does another Disable.
func (pm *Manager) Disable(refOrID string, config *backend.PluginDisableConfig) (retErr error) {
	defer plain(&retErr)
	interrupted := pm.interruptStart(refOrID, "a disable")
	u, release, err := pm.acquireReadable(pm.ctx, refOrID)
	if err != nil {
		return err
	}
	defer release()
	switch {
	case u.plugin.IsEnabled():
		return u.disable(config != nil && config.ForceDisable)
	case interrupted || u.isIn(lifecycle.Stopping):
		return u.stop(pm.ctx)
	}
	return fmt.Errorf("plugin is already disabled: %w", &DisabledError{Name: u.plugin.Name()})
}

// disable stops an enabled plugin and announces it. The caller holds the
// operation lock.
func (u *unit) disable(force bool) error {
	if err := u.plugin.DisableUnlessInUse(force); err != nil {
		return &InUseError{Name: u.plugin.Name(), References: u.plugin.GetRefCount()}
	}
	if err := u.saveEnabled(false); err != nil {
		u.manager.config.Store.SetState(u.plugin, true)
		return err
	}
	// Committed: what still runs after a crash here is stopped at boot.
	u.forgetAuthorization()
	err := u.stop(u.manager.ctx)
	u.announce(events.ActionDisable, EventDisable{Plugin: u.plugin.Snapshot()})
	return err
}

// Inspect returns a copy of what is known about a plugin, less what
// [ManagerConfig.Redact] takes out.
func (pm *Manager) Inspect(refOrID string) (_ *types.Plugin, retErr error) {
	defer plain(&retErr)
	p, err := pm.Get(refOrID)
	if err != nil {
		return nil, err
	}
	snapshot := p.Snapshot()
	pm.config.Redact(&snapshot)
	return &snapshot, nil
}

// List returns copies of the plugins that match, ordered by name, less what
// [ManagerConfig.Redact] takes out. A plugin
// whose record can't be read is named by its id, and described by what is
// wrong with it. Filters are
// enabled, a boolean, and capability, of which the plugin must have any one;
// others are refused with class InvalidParameter.
func (pm *Manager) List(pluginFilters filters.Args) (_ []types.Plugin, retErr error) {
	defer plain(&retErr)
	filter, err := parseListFilter(pluginFilters)
	if err != nil {
		return nil, err
	}
	list := []types.Plugin{}
	for _, p := range append(pm.config.Store.all(), pm.brokenPlugins()...) {
		if snapshot := p.Snapshot(); filter.matches(snapshot) {
			pm.config.Redact(&snapshot)
			snapshot.Config.Description = plaintext.Lines(snapshot.Config.Description) // a column of a table
			list = append(list, snapshot)
		}
	}
	slices.SortFunc(list, byName)
	return list, nil
}

// Set changes settings of a disabled plugin, all of args or none. See
// [github.com/dovetailhq/plugin/v2.Plugin.Set] for their form.
//
// Errors: [EnabledError], class InvalidParameter for an argument that the
// plugin's config does not allow, [v2.ErrNoAnswer] for a device in a file system
// that does not answer, and class System.
func (pm *Manager) Set(name string, args []string) (retErr error) {
	defer plain(&retErr)
	u, release, err := pm.acquireReadable(pm.ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if u.plugin.IsEnabled() {
		return fmt.Errorf("cannot set on an active plugin, disable plugin before setting: %w", &EnabledError{Name: u.plugin.Name()})
	}
	changed := u.plugin.Clone()
	if err := changed.Set(args); err != nil {
		return err
	}
	if err := changed.PinDevices(pm.ctx); err != nil {
		return err
	}
	if err := u.save("set", changed); err != nil {
		return err
	}
	u.plugin.ReplaceData(changed)
	pm.events.publish(EventSet{Plugin: u.plugin.Snapshot()})
	return nil
}

// Remove deletes a plugin and, later, the blobs that only it refers to. With
// config.ForceRemove an enabled plugin is stopped first, and references are
// ignored; a nil config means without.
//
// Errors: [InUseError], [EnabledError], and class System when the process
// can't be stopped or the directory can't be removed; then the plugin is
// still there, an enabled one is started again, and an authorization plugin
// goes on to guard. Only if the disk refuses to put it back as well is it gone,
// which the error says. A plugin whose record can't be read is removed by its id.
func (pm *Manager) Remove(name string, config *backend.PluginRmConfig) (retErr error) {
	defer plain(&retErr)
	force := config != nil && config.ForceRemove
	if force {
		pm.interruptStart(name, "a removal")
	}
	u, release, err := pm.acquire(pm.ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if err := u.removable(force); err != nil {
		return err
	}
	wasEnabled := u.plugin.IsEnabled()
	err = u.remove()
	if err != nil && !isRemoved(err) {
		if wasEnabled {
			u.resume()
			err = fmt.Errorf("%w; the plugin stays enabled, and is started again", err)
		}
		return err
	}
	pm.forget(u)
	u.announce(events.ActionRemove, EventRemove{Plugin: u.plugin.Snapshot()})
	pm.requestGC()
	return err
}

// remove stops the plugin and commits its removal. The desired state stays on
// disk until then, so that a crash before the commit changes nothing.
func (u *unit) remove() error {
	u.manager.config.Store.SetState(u.plugin, false)
	if err := u.stop(u.manager.ctx); err != nil {
		return err
	}
	if err := u.fire(lifecycle.Remove); err != nil {
		return err
	}
	err := u.delete()
	if err != nil && !isRemoved(err) {
		_ = u.fire(lifecycle.Fail)
		return err
	}
	// Committed: what guarded is gone.
	_ = u.fire(lifecycle.Done)
	u.forgetAuthorization()
	return err
}

// isRemoved reports whether the plugin is gone in spite of an error.
func isRemoved(err error) bool {
	var unsettled *layout.UnsettledError
	return errors.As(err, &unsettled)
}

func (u *unit) removable(force bool) error {
	if force {
		return nil
	}
	if references := u.plugin.GetRefCount(); references > 0 {
		return &InUseError{Name: u.plugin.Name(), References: references}
	}
	if u.plugin.IsEnabled() {
		return fmt.Errorf("%w: disable it first, or remove it by force", &EnabledError{Name: u.plugin.Name()})
	}
	return nil
}

// releaseTime is how long mounts may take to be detached.
const releaseTime = 10 * time.Second

// delete commits the removal. What can't be unmounted or deleted at once is
// no reason to say that the plugin is still there: it is swept later.
func (u *unit) delete() error {
	if _, ok := answer(releaseTime, func() bool { u.process.Ended(); u.process.Stopped(); return true }); !ok {
		u.logger().Warn("unmount plugin data: it did not return in time")
	}
	err := u.manager.root.Remove(u.plugin.GetID())
	if err := u.tolerateLeftover(err); err != nil {
		return &StorageError{Op: "remove", Name: u.plugin.Name(), Err: err}
	}
	return nil
}

// tolerateLeftover takes what could not be deleted after a commit for no more
// than it is.
func (u *unit) tolerateLeftover(err error) error {
	var leftover *layout.LeftoverError
	if errors.As(err, &leftover) {
		u.logger().WithError(err).Warn("delete what is left of a plugin")
		return nil
	}
	return err
}

func (pm *Manager) forget(u *unit) {
	pm.config.Store.Remove(u.plugin)
	pm.mu.Lock()
	delete(pm.units, u.plugin.GetID())
	pm.mu.Unlock()
	u.closeLogbook() // it may take as long as the disk does
}
