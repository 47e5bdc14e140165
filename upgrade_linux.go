// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"
	"github.com/opencontainers/go-digest"

	"github.com/dovetailhq/plugin/internal/blobs"
	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/lifecycle"
	"github.com/dovetailhq/plugin/internal/privilege"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Upgrade replaces a disabled plugin by another version of itself. The plugin
// keeps its ID, name, references, settings of the user, and data in its
// propagated mount; other settings become the new defaults. Otherwise it is like
// [Manager.Pull]. While it runs, other verbs on the plugin are refused.
//
// Errors: [EnabledError], [BusyError], those of Pull, and
// [v2.LostSettingsError] for settings that the new version does not accept, unless
// ctx was made by [DropLostSettings]. On error the old version is unchanged, in
// memory and on disk.
func (pm *Manager) Upgrade(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer) (retErr error) {
	defer plain(&retErr)
	u, endUpgrade, err := pm.beginUpgrade(ctx, name) // first, because it can wait long
	if err != nil {
		return err
	}
	defer endUpgrade()
	ctx, out, end, err := pm.beginTransfer(ctx, outStream)
	if err != nil {
		return err
	}
	defer end()
	pin := pm.blobs.NewPin()
	defer pm.requestGC()
	defer pin.Release()
	t := distribution.Transfer{Reference: reference.TagNameOnly(ref), Headers: metaHeader, Auth: authConfig, Pin: pin, Progress: out}
	return pm.upgrade(ctx, u, t, privileges)
}

// UpgradeFromLayout replaces a disabled plugin by the plugin in an OCI image layout, without
// a registry. The new config grants itself what it requests. It reads path, and waits for a place, like
// [Manager.CreateFromLayout]. The plugin keeps its ID, name, references, settings and data, and
// other verbs on it are refused, as in [Manager.Upgrade].
//
// Errors: [EnabledError], [BusyError], those of CreateFromLayout for the layout, and
// [v2.LostSettingsError] unless ctx was made by [DropLostSettings]. On error the old version
// is unchanged, in memory and on disk.
func (pm *Manager) UpgradeFromLayout(ctx context.Context, path, name string) (retErr error) {
	defer plain(&retErr)
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	leave, err := pm.takeCreate(ctx, name)
	if err != nil {
		return err
	}
	defer leave()
	u, endUpgrade, err := pm.beginUpgrade(ctx, name)
	if err != nil {
		return err
	}
	defer endUpgrade()
	pin := pm.blobs.NewPin()
	defer pm.requestGC()
	defer pin.Release()
	return pm.upgradeFrom(ctx, u, path, pin)
}

// beginUpgrade makes other verbs on the plugin fail until end. It does not keep the
// operation lock, because registry and client may take any time. A swap calls end as
// well: the second call does nothing, because another upgrade may have begun.
func (pm *Manager) beginUpgrade(ctx context.Context, name string) (u *unit, end func(), err error) {
	ctx, cancel := pm.untilShutdown(ctx)
	defer cancel()
	u, release, err := pm.acquireReadable(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if u.plugin.IsEnabled() {
		return nil, nil, fmt.Errorf("plugin must be disabled before upgrading: %w", &EnabledError{Name: u.plugin.Name()})
	}
	if err := u.stop(ctx); err != nil { // an earlier process may be left
		return nil, nil, err
	}
	if err := u.fire(lifecycle.Upgrade); err != nil {
		return nil, nil, err
	}
	u.endUpgrade = sync.OnceFunc(func() { _ = u.fire(lifecycle.Done) })
	return u, u.endUpgrade, nil
}

// actionUpgrade is the action for LogPluginEvent; docker logs none.
const actionUpgrade = events.Action("upgrade")

func (pm *Manager) upgrade(ctx context.Context, u *unit, t distribution.Transfer, privileges types.PluginPrivileges) error {
	f, err := pm.find(ctx, t)
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := pm.presentConfig(ctx, u, t.Progress)
	if err != nil {
		return err
	}
	if err := checkGrants(old, f.PluginConfig, privileges); err != nil {
		return err
	}
	next, err := u.next(ctx, old, version{t.Reference.String(), f.PluginConfig, f.Config.Digest, f.Manifest.Digest, f.Blobsums()}, t.Progress)
	if err != nil {
		return err
	}
	stage, abort, err := u.stage(ctx)
	if err != nil {
		return err
	}
	defer abort()
	f.Announce()
	pm.warnOfConfig(u.plugin.Name(), f.PluginConfig, t.Progress)
	if err := pm.unpack(ctx, f, stage); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return u.swap(ctx, stage, next)
}

// upgradeFrom upgrades to the plugin in a layout.
func (pm *Manager) upgradeFrom(ctx context.Context, u *unit, path string, pin *blobs.Pin) error {
	stage, abort, err := u.stage(ctx)
	if err != nil {
		return err
	}
	defer abort()
	file, local, err := pm.openLayout(ctx, path, stage, pin)
	if err != nil {
		return err
	}
	defer file.Close()
	out := progress.DiscardOutput()
	old, err := pm.presentConfig(ctx, u, out)
	if err != nil {
		return err
	}
	next, err := u.next(ctx, old, version{u.plugin.Name(), local.PluginConfig, local.Config, local.Manifest, local.Blobsums}, out)
	if err != nil {
		return err
	}
	pm.warnOfConfig(u.plugin.Name(), local.PluginConfig, out)
	if err := local.Unpack(ctx, stage.Rootfs(), stage.FileCloser()); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return u.swap(ctx, stage, next)
}

// stage begins the stage of an upgrade. The caller calls abort, also after a commit.
func (u *unit) stage(ctx context.Context) (_ *layout.Stage, abort func(), err error) {
	stage, err := u.host.root.Stage(ctx, u.plugin.GetID())
	if err != nil {
		return nil, nil, &StorageError{Op: "upgrade", Name: u.plugin.Name(), Err: err}
	}
	return stage, func() {
		if err := stage.Abort(); err != nil {
			u.logger().WithError(err).Warn("remove upgrade that failed")
		}
	}, nil
}

// presentConfig returns the author's config of the present version. If the disk has
// damaged it, presentConfig returns that of the record with a warning, because an
// upgrade is how a user gets rid of the damage.
func (pm *Manager) presentConfig(ctx context.Context, u *unit, out progress.Output) (types.PluginConfig, error) {
	p := u.plugin.Clone()
	config, err := pm.content().OwnConfig(ctx, p)
	if damaged := (*blobs.CorruptError)(nil); errors.As(err, &damaged) {
		pm.warn(p.Name(), []string{"the config of the present version is damaged: settings that docker made can be lost"}, out)
		return p.PluginObj.Config, nil
	}
	if err != nil {
		return types.PluginConfig{}, fmt.Errorf("read present config: %w", err)
	}
	return config, nil
}

// checkGrants refuses grants that are not those of the new version. Its error
// lists also the difference between the versions.
func checkGrants(old, config types.PluginConfig, granted types.PluginPrivileges) error {
	err := privilege.Check(privilege.Of(config), granted)
	var mismatch *privilege.MismatchError
	if errors.As(err, &mismatch) {
		mismatch.Added, mismatch.Dropped = privilege.Diff(privilege.Of(old), privilege.Of(config))
	}
	return err
}

// version is what an upgrade installs.
type version struct {
	reference        string
	plugin           types.PluginConfig
	config, manifest digest.Digest
	blobsums         []digest.Digest
}

// next returns the record of the new version; old is the present config.
func (u *unit) next(ctx context.Context, old types.PluginConfig, to version, out progress.Output) (*v2.Plugin, error) {
	next := u.plugin.Clone()
	settings, err := v2.MergeSettings(old, next.PluginObj.Settings, to.plugin)
	if err != nil && !DropsLostSettings(ctx) {
		return nil, err
	}
	if err != nil {
		progress.Message(out, "", "Warning: settings are dropped: "+err.Error())
		u.logger().WithError(err).Warn("upgrade drops settings")
	}
	next.PluginObj.Config = to.plugin
	next.PluginObj.Settings = settings
	if err := u.host.pinGrants(ctx, next, out); err != nil {
		return nil, err
	}
	next.PluginObj.PluginReference = to.reference
	next.Config, next.Manifest, next.Blobsums = to.config, to.manifest, to.blobsums
	return next, nil
}

// swap commits the upgrade, and publishes it.
func (u *unit) swap(ctx context.Context, stage *layout.Stage, next *v2.Plugin) error {
	if err := u.operation.Lock(ctx); err != nil {
		return err
	}
	defer u.release()
	before := u.plugin.Snapshot()
	if err := u.commitUpgrade(stage, next); err != nil {
		return &StorageError{Op: "upgrade", Name: u.plugin.Name(), Err: err}
	}
	u.host.config.Store.replace(u.plugin, next)
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
