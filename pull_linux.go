// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/distribution"
	"github.com/dovetailhq/plugin/internal/layout"
	"github.com/dovetailhq/plugin/internal/privilege"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Privileges fetches a plugin's config from a registry, and returns the
// privileges that [Manager.Pull] needs granted. authConfig and metaHeader may be
// nil; neither is changed.
//
// Errors: of class NotFound, Unauthorized, Forbidden, Unavailable or System for
// the registry, [RedirectError] among them; they name host and reference. Of
// class InvalidParameter for content that is not a plugin, [LimitError] and
// [v2.InvalidConfigError] among them.
func (pm *Manager) Privileges(ctx context.Context, ref reference.Named, metaHeader http.Header, authConfig *registry.AuthConfig) (_ types.PluginPrivileges, retErr error) {
	defer plain(&retErr)
	ctx, out, end, err := pm.beginTransfer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end()
	pin := pm.blobs.NewPin()
	defer pm.requestGC()
	defer pin.Release()
	f, err := pm.find(ctx, distribution.Transfer{Reference: ref, Headers: metaHeader, Auth: authConfig, Pin: pin, Progress: out})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return privilege.Of(f.PluginConfig), nil
}

// Pull installs a plugin from a registry under a name, or under the name of the
// reference if name is empty. The plugin is disabled.
//
// The privileges must be exactly those that [Manager.Privileges] returns, in any
// order; they are checked before any layer is requested. Blobs that are stored
// are not requested again. Layers are unpacked while they arrive. Progress goes
// to outStream, in the form that docker's CLI reads; outStream may be nil. Like
// Push, Upgrade and Privileges it waits while [Limits].Transfers others are in
// progress.
//
// Errors: [ExistsError]; [InvalidError] for the name; those of Privileges;
// [PrivilegesError] for grants that don't match; [LimitError],
// [ArchiveEntryError] and [ArchiveError] for layers, and class DataLoss for
// damaged layers; class System for the host. On error nothing is installed.
// Partial downloads are kept for the next Pull, unless the plugin itself
// is invalid.
func (pm *Manager) Pull(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...CreateOpt) (retErr error) {
	defer plain(&retErr)
	name, err := pullName(ref, name)
	if err != nil {
		return err
	}
	ctx, out, end, err := pm.beginTransfer(ctx, outStream)
	if err != nil {
		return err
	}
	defer end()
	in, err := pm.beginInstall(ctx, name)
	if err != nil {
		return err
	}
	defer in.end()
	t := distribution.Transfer{Reference: reference.TagNameOnly(ref), Headers: metaHeader, Auth: authConfig, Pin: in.pin, Progress: out}
	f, err := pm.find(ctx, t)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := privilege.Check(privilege.Of(f.PluginConfig), privileges); err != nil {
		return err
	}
	f.Announce()
	pm.warnOfConfig(name, f.PluginConfig, out)
	if err := pm.unpack(ctx, f, in.stage); err != nil {
		return err
	}
	p := in.record(t.Reference, f)
	for _, opt := range opts {
		opt(p)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return in.commit(ctx, p, out, events.ActionPull)
}

// pullName returns the name that a plugin is installed under.
func pullName(ref reference.Named, name string) (string, error) {
	if name != "" {
		return parseNewName(name)
	}
	return reference.FamiliarString(withoutDigest(ref)), nil
}

// withoutDigest returns a reference with its tag, or with the tag latest.
func withoutDigest(ref reference.Named) reference.Named {
	named := reference.TrimNamed(ref)
	if tagged, ok := ref.(reference.Tagged); ok {
		if with, err := reference.WithTag(named, tagged.Tag()); err == nil {
			return with
		}
	}
	return reference.TagNameOnly(named)
}

func (in *install) record(origin reference.Named, f *distribution.Plugin) *v2.Plugin {
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: in.name, ID: in.id, PluginReference: origin.String(), Config: f.PluginConfig},
		Config:    f.Config.Digest,
		Manifest:  f.Manifest.Digest,
		Blobsums:  f.Blobsums(),
	}
	p.InitEmptySettings()
	return p
}

// content returns the source of plugins' content.
func (pm *Manager) content() distribution.Source {
	return distribution.Source{Blobs: pm.blobs, Remote: pm.remote, Limits: pm.archiveLimits()}
}

// beginTransfer begins a verb that talks to a registry: it waits for a place,
// shows its progress on outStream, which may be nil, and ends as Shutdown
// begins. The caller must call end unless there is an error.
func (pm *Manager) beginTransfer(ctx context.Context, outStream io.Writer) (_ context.Context, out *distribution.Progress, end func(), err error) {
	if err := pm.writable(); err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := pm.untilShutdown(ctx)
	out = distribution.NewProgress(outStream)
	leave, err := pm.transfers.Take(ctx, func() { progress.Message(out, "", "Waiting for other transfers to end") })
	if err != nil {
		out.End(ctx)
		cancel()
		return nil, nil, nil, err
	}
	return ctx, out, func() {
		leave()
		out.End(ctx)
		cancel()
	}, nil
}

// find fetches a plugin's manifest and config from a registry, but no layer. The
// caller must close the returned plugin.
func (pm *Manager) find(ctx context.Context, t distribution.Transfer) (*distribution.Plugin, error) {
	if pm.config.RegistryService == nil {
		return nil, errNoRegistry
	}
	return pm.content().Find(ctx, t)
}

// errNoRegistry refuses to talk to a registry.
var errNoRegistry = &UnsupportedError{Op: "transfer", Reason: "this manager has no RegistryService"}

// unpack fetches the layers of a plugin into a stage.
func (pm *Manager) unpack(ctx context.Context, f *distribution.Plugin, stage *layout.Stage) error {
	return f.Unpack(ctx, stage.Rootfs(), stage.FileCloser())
}
