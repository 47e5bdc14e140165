// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/bounded"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/plaintext"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Enable starts a plugin, and returns once its socket accepts connections. If
// the start fails, the plugin is stopped and stays disabled.
//
// config.Timeout bounds each later call to the plugin, in seconds; 0 means no
// limit, and so does a nil config. [ManagerConfig.StartTimeout] bounds the start.
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
		return 0, &InvalidError{What: "timeout", Err: errors.New("it is negative: use seconds, or 0 for no limit")}
	}
	return time.Duration(config.Timeout) * time.Second, nil
}

// Disable stops a plugin, or interrupts its start. A plugin with references is
// disabled only if config.ForceDisable is set; a nil config means without force.
// References that were ignored count until the plugin is enabled again. A plugin
// that ignores SIGTERM is killed after [ManagerConfig.StopTimeout]. When the
// process has ended, mounts in the plugin's directory are detached.
//
// Errors: [DisabledError], [InUseError], and class System when the desired
// state can't be written or the process can't be stopped. In the latter case
// the plugin is disabled, and in state stopping until its process has ended. The
// manager keeps trying to stop it, and another Disable tries at once.
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
		u.host.config.Store.SetState(u.plugin, true)
		return err
	}
	// Committed: after a crash here the process is stopped at boot.
	u.forgetAuthorization()
	err := u.stop(u.host.ctx)
	u.announce(events.ActionDisable, EventDisable{Plugin: u.plugin.Snapshot()})
	return err
}

// Inspect returns a copy of a plugin's record, edited by [ManagerConfig.Redact].
// Errors: those of [Manager.Get].
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

// List returns copies of the records of plugins that match, ordered by name and
// edited by [ManagerConfig.Redact]. The caller may change them. A copy that is
// kept also keeps the memory of a few of its neighbours. A broken plugin has its ID as its name, and
// the problem of its record as its description. Filters are enabled, a boolean,
// and capability, which matches plugins that have any of its values; other
// filters are refused with class InvalidParameter.
func (pm *Manager) List(pluginFilters filters.Args) (_ []types.Plugin, retErr error) {
	defer plain(&retErr)
	filter, err := parseListFilter(pluginFilters)
	if err != nil {
		return nil, err
	}
	list := v2.Snapshots(pm.allPlugins(), filter.matches)
	for i := range list {
		pm.config.Redact(&list[i])
		list[i].Config.Description = plaintext.Lines(list[i].Config.Description) // a column of a table
	}
	return list, nil
}

// Set changes settings of a disabled plugin, all of args or none. See
// [github.com/dovetailhq/plugin/v2.Plugin.Set] for their form.
//
// Errors: [EnabledError], class InvalidParameter for an argument that the
// plugin's config does not allow, [v2.NoAnswerError] for a device in a file system
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
	if err := pm.pinGrants(pm.ctx, changed, progress.DiscardOutput()); err != nil {
		return err
	}
	if err := u.save("set", changed); err != nil {
		return err
	}
	u.plugin.ReplaceData(changed)
	pm.events.Publish(EventSet{Plugin: u.plugin.Snapshot()})
	return nil
}

// Remove deletes a plugin and, later, the blobs that only it refers to. With
// config.ForceRemove an enabled plugin is stopped first, and references are
// ignored; a nil config means without.
//
// Errors: [InUseError], [EnabledError], and class System when the process
// can't be stopped or the directory can't be removed. After such an error the
// plugin is still installed, an enabled plugin is restarted, and an authorization
// plugin remains in force. If the disk also refuses to restore the directory, the
// plugin is gone, and the error reports that. A broken plugin is removed by its
// ID.
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
			err = fmt.Errorf("%w; the plugin stays enabled, and is restarted", err)
		}
		return err
	}
	pm.dropUnit(u)
	u.announce(events.ActionRemove, EventRemove{Plugin: u.plugin.Snapshot()})
	pm.requestGC()
	return err
}

// remove stops the plugin and commits its removal. The desired state stays on
// disk until then, so that a crash before the commit changes nothing.
func (u *unit) remove() error {
	u.host.config.Store.SetState(u.plugin, false)
	if err := u.stop(u.host.ctx); err != nil {
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
	// Committed: an authorization plugin is no longer in force.
	_ = u.fire(lifecycle.Done)
	u.forgetAuthorization()
	return err
}

// isRemoved reports whether the plugin is gone although err is not nil.
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

// releaseTime bounds the detaching of mounts.
const releaseTime = 10 * time.Second

// delete commits the removal. Leftovers that can't be unmounted or deleted at
// once don't fail it; a later sweep deletes them.
func (u *unit) delete() error {
	if _, ok := bounded.Within(releaseTime, func() bool { u.process.Ended(); u.process.Stopped(); return true }); !ok {
		u.logger().Warn("unmount plugin data: it did not return in time")
	}
	err := u.host.root.Remove(u.plugin.GetID())
	if err := u.tolerateLeftover(err); err != nil {
		return &StorageError{Op: "remove", Name: u.plugin.Name(), Err: err}
	}
	return nil
}

// tolerateLeftover logs err and returns nil if err is only a leftover that could
// not be deleted after a commit.
func (u *unit) tolerateLeftover(err error) error {
	var leftover *layout.LeftoverError
	if errors.As(err, &leftover) {
		u.logger().WithError(err).Warn("delete what is left of a plugin")
		return nil
	}
	return err
}

func (pm *Manager) dropUnit(u *unit) {
	pm.config.Store.Remove(u.plugin)
	pm.mu.Lock()
	delete(pm.units, u.plugin.GetID())
	pm.mu.Unlock()
	u.closeLogbook() // without the lock: it may take as long as the disk does
}
