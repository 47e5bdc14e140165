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
// the wish can't be written.
func (pm *Manager) Enable(refOrID string, config *backend.PluginEnableConfig) (retErr error) {
	defer plain(&retErr)
	timeout, err := callTimeout(config)
	if err != nil {
		return err
	}
	u, release, err := pm.acquireReadable(refOrID)
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
	if err := u.start(); err != nil {
		return err
	}
	if err := u.wish(true); err != nil {
		if stopErr := u.stop(); stopErr != nil {
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
// config means it is not. A plugin that ignores SIGTERM is killed after
// [ManagerConfig.StopTimeout].
//
// Errors: [DisabledError], [InUseError], and class System when the wish can't
// be written or the process can't be stopped.
func (pm *Manager) Disable(refOrID string, config *backend.PluginDisableConfig) (retErr error) {
	defer plain(&retErr)
	interrupted := pm.interruptStart(refOrID)
	u, release, err := pm.acquireReadable(refOrID)
	if err != nil {
		return err
	}
	defer release()
	if !u.plugin.IsEnabled() {
		if interrupted {
			return nil
		}
		return fmt.Errorf("plugin is already disabled: %w", &DisabledError{Name: u.plugin.Name()})
	}
	return u.disable(config != nil && config.ForceDisable)
}

// disable stops an enabled plugin and announces it. The caller holds the
// operation lock.
func (u *unit) disable(force bool) error {
	if err := u.plugin.DisableUnlessInUse(force); err != nil {
		return &InUseError{Name: u.plugin.Name(), References: u.plugin.GetRefCount()}
	}
	if err := u.wish(false); err != nil {
		u.manager.config.Store.SetState(u.plugin, true)
		return err
	}
	// Committed: what still runs after a crash here is a stray, and stopped.
	u.left()
	err := u.stop()
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
// plugin's config does not allow, and class System.
func (pm *Manager) Set(name string, args []string) (retErr error) {
	defer plain(&retErr)
	u, release, err := pm.acquireReadable(name)
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
// still there. Only if the disk refuses to put it back as well is it gone, which
// the error says. A plugin whose record can't be read is removed by its id.
func (pm *Manager) Remove(name string, config *backend.PluginRmConfig) (retErr error) {
	defer plain(&retErr)
	force := config != nil && config.ForceRemove
	if force {
		pm.interruptStart(name)
	}
	u, release, err := pm.acquire(name)
	if err != nil {
		return err
	}
	defer release()
	if err := u.removable(force); err != nil {
		return err
	}
	wasEnabled := u.plugin.IsEnabled()
	if err := u.suspend(); err != nil {
		return err
	}
	err = u.delete()
	var unsettled *layout.UnsettledError
	if err != nil && !errors.As(err, &unsettled) {
		u.resume(wasEnabled)
		return err
	}
	pm.forget(u)
	u.announce(events.ActionRemove, EventRemove{Plugin: u.plugin.Snapshot()})
	pm.requestGC()
	return err
}

// suspend stops a plugin that is to go. Its wish stays on disk, so that a
// crash before the removal is committed leaves it as it was.
func (u *unit) suspend() error {
	if u.plugin.IsEnabled() {
		u.manager.config.Store.SetState(u.plugin, false)
		u.left()
		if err := u.stop(); err != nil {
			u.manager.config.Store.SetState(u.plugin, true)
			u.supervised(true)
			return err
		}
	}
	return u.fire(lifecycle.Remove)
}

// resume takes suspend back.
func (u *unit) resume(enabled bool) {
	_ = u.fire(lifecycle.Fail)
	if enabled {
		u.manager.config.Store.SetState(u.plugin, true)
		u.supervised(false)
	}
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

// delete commits the removal. What can't be unmounted or deleted at once is
// no reason to say that the plugin is still there: it is swept later.
func (u *unit) delete() error {
	u.process.Ended()
	root := u.manager.root
	if err := unmountAll(root.Plugin(u.plugin.GetID())); err != nil {
		u.logger().WithError(err).Warn("unmount plugin data")
	}
	err := u.tolerateLeftover(root.Remove(u.plugin.GetID()))
	var unsettled *layout.UnsettledError
	if err == nil || errors.As(err, &unsettled) {
		_ = u.fire(lifecycle.Done)
	}
	if err != nil {
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
