package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/privilege"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Upgrade replaces a disabled plugin by another version of itself. It keeps
// its id, name, references, data in its propagated mount, and settings: what
// the user set stays, the rest becomes the new default. Everything else is as
// with [Manager.Pull]. While it runs other verbs on the plugin are refused.
//
// Errors: [EnabledError], [BusyError], those of Pull, and
// [v2.ErrLostSettings] for what was set and the new version does not take,
// unless ctx is one of [DropLostSettings].
// After any, the old version is as it was, in memory and on disk.
func (pm *Manager) Upgrade(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) (retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	out := progressOn(outStream)
	defer out.end(ctx)
	if err := pm.writable(); err != nil {
		return err
	}
	leave, err := pm.transfers.take(ctx)
	if err != nil {
		return err
	}
	defer leave()
	u, err := pm.beginUpgrade(ctx, name)
	if err != nil {
		return err
	}
	defer u.endUpgrade()
	pin := pm.blobs.NewPin()
	defer pm.requestGC()
	defer pin.Release()
	t := transfer{ref: reference.TagNameOnly(ref), headers: metaHeader, auth: authConfig, pin: pin, out: out}
	return u.upgrade(ctx, t, privileges)
}

// beginUpgrade makes other verbs on a plugin be refused until endUpgrade. It does
// not keep the operation lock: a registry, and the client, take as long as they
// like.
func (pm *Manager) beginUpgrade(ctx context.Context, name string) (*unit, error) {
	u, release, err := pm.acquireReadable(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	if u.plugin.IsEnabled() {
		return nil, fmt.Errorf("plugin must be disabled before upgrading: %w", &EnabledError{Name: u.plugin.Name()})
	}
	if err := u.stop(ctx); err != nil { // a process may be left of before
		return nil, err
	}
	return u, u.fire(lifecycle.Upgrade)
}

// endUpgrade does nothing after a swap that succeeded.
func (u *unit) endUpgrade() {
	if u.isIn(lifecycle.Upgrading) {
		_ = u.fire(lifecycle.Done)
	}
}

// actionUpgrade is what the daemon's log is told; docker tells it nothing.
const actionUpgrade = events.Action("upgrade")

func (u *unit) upgrade(ctx context.Context, t transfer, privileges types.PluginPrivileges) error {
	f, err := u.manager.find(ctx, t)
	if err != nil {
		return err
	}
	defer f.Close()
	old := u.ownConfig(ctx)
	if err := checkGrants(old, f.config, privileges); err != nil {
		return err
	}
	next, err := u.next(ctx, t, f, old)
	if err != nil {
		return err
	}
	stage, err := u.manager.root.Stage(u.plugin.GetID())
	if err != nil {
		return &StorageError{Op: "upgrade", Name: u.plugin.Name(), Err: err}
	}
	defer func() {
		if err := stage.Abort(); err != nil {
			u.manager.warnOfLeftover(err, "remove upgrade that failed")
		}
	}()
	t.announce(f)
	u.manager.warn(u.plugin.Name(), f.config, t.out)
	if err := f.unpack(ctx, stage, t.out); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return u.swap(ctx, stage, next)
}

// checkGrants refuses grants that are not what the new version asks for, and
// tells how that differs from what the old one did.
func checkGrants(old, config types.PluginConfig, granted types.PluginPrivileges) error {
	err := privilege.Check(privilege.Of(config), granted)
	var mismatch *PrivilegesError
	if errors.As(err, &mismatch) {
		mismatch.Added, mismatch.Dropped = privilege.Diff(privilege.Of(old), privilege.Of(config))
	}
	return err
}

// ownConfig is the config as its author wrote it. Docker writes what is set into
// that of its records, which then can't tell any more what was; and the record
// of what docker upgraded names the config of the version before.
func (u *unit) ownConfig(ctx context.Context) types.PluginConfig {
	p := u.plugin.Clone()
	config := p.Config
	if manifest, err := u.manager.blobs.Manifest(ctx, p.Manifest); err == nil && manifest.Config.Digest != "" {
		config = manifest.Config.Digest
	}
	if data, err := u.manager.blobs.ReadAll(ctx, config, mostConfigBytes); err == nil {
		config, err := v2.ParseConfig(data)
		if err == nil && slices.Equal(diffIDs(config), diffIDs(p.PluginObj.Config)) {
			return config
		}
	}
	return p.PluginObj.Config // records of older dockers name no config
}

// mostConfigBytes is far more than any config that was ever installed has.
const mostConfigBytes = 16 << 20

// next is the record of the plugin as the new version will have it, old being
// the config that it has.
func (u *unit) next(ctx context.Context, t transfer, f *found, old types.PluginConfig) (*v2.Plugin, error) {
	next := u.plugin.Clone()
	settings, err := v2.MergeSettings(old, next.PluginObj.Settings, f.config)
	if err != nil && !DropsLostSettings(ctx) {
		return nil, err
	}
	if err != nil {
		progress.Message(t.out, "", "Warning: settings are dropped: "+err.Error())
		u.logger().WithError(err).Warn("upgrade drops settings")
	}
	next.PluginObj.Config = f.config
	next.PluginObj.Settings = settings
	if err := next.PinDevices(ctx); err != nil {
		return nil, err
	}
	next.PluginObj.PluginReference = t.ref.String()
	next.Config, next.Manifest, next.Blobsums = f.Config.Digest, f.Manifest.Digest, f.blobsums()
	return next, nil
}

// swap commits the upgrade, and publishes it.
func (u *unit) swap(ctx context.Context, stage *layout.Stage, next *v2.Plugin) error {
	if err := u.operation.lock(ctx); err != nil {
		return err
	}
	defer u.release()
	before := u.plugin.Snapshot()
	if err := u.commitUpgrade(stage, next); err != nil {
		return &StorageError{Op: "upgrade", Name: u.plugin.Name(), Err: err}
	}
	u.manager.config.Store.replace(u.plugin, next)
	u.endUpgrade()
	after := u.plugin.Snapshot()
	added, dropped := privilege.Diff(privilege.Of(before.Config), privilege.Of(after.Config))
	u.announce(actionUpgrade, EventUpgraded{Plugin: after, Added: added, Dropped: dropped})
	return nil
}

func (u *unit) commitUpgrade(stage *layout.Stage, next *v2.Plugin) error {
	record, err := json.Marshal(next)
	if err != nil {
		return err
	}
	previous, err := json.Marshal(u.plugin)
	if err != nil {
		return err
	}
	return u.tolerateLeftover(stage.CommitUpgrade(record, previous))
}
