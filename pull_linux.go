package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/privilege"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Pull installs a plugin from a registry under a name, or under that of the
// reference if name is empty. What it asks of the host, see
// [Manager.Privileges], must be granted exactly, in whatever order; that is
// checked before any layer is asked for. Layers are unpacked as they arrive.
// Progress goes to outStream, in the form that docker's CLI reads; it may be
// nil. The plugin is disabled. Blobs that are here are not asked for. It waits
// while [Limits].Transfers others are in progress, as Push, Upgrade and
// Privileges do.
//
// Errors: [ExistsError]; [InvalidError] for the name; those of Privileges;
// [PrivilegesError] for grants that don't match; [LimitError],
// [ArchiveEntryError] and [ArchiveError] for layers, and class DataLoss for
// those that are damaged; class System for the host. After any, nothing is left
// but, when the plugin itself is not to blame, what a next Pull resumes.
func (pm *Manager) Pull(ctx context.Context, ref reference.Named, name string, metaHeader http.Header, authConfig *registry.AuthConfig, privileges types.PluginPrivileges, outStream io.Writer, opts ...CreateOpt) (retErr error) {
	defer plain(&retErr)
	name, err := pullName(ref, name)
	if err != nil {
		return err
	}
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
	in, err := pm.beginInstall(name)
	if err != nil {
		return err
	}
	defer in.end()
	t := transfer{ref: reference.TagNameOnly(ref), headers: metaHeader, auth: authConfig, pin: in.pin, out: out}
	f, err := pm.find(ctx, t)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := privilege.Check(privilege.Of(f.config), privileges); err != nil {
		return err
	}
	t.announce(f)
	pm.warn(name, f.config, t.out)
	if err := f.unpack(ctx, in.stage, t.out); err != nil {
		return err
	}
	p := in.record(t, f)
	for _, opt := range opts {
		opt(p)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return in.commit(ctx, p, events.ActionPull)
}

// pullName is the name that a plugin is installed under.
func pullName(ref reference.Named, name string) (string, error) {
	if name != "" {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return "", &InvalidError{What: fmt.Sprintf("plugin name %q", name), Err: err}
		}
		if _, ok := named.(reference.Canonical); ok {
			return "", &InvalidError{What: fmt.Sprintf("plugin name %q", name), Err: errors.New("it has a digest: give a tag or nothing")}
		}
		return reference.FamiliarString(reference.TagNameOnly(named)), nil
	}
	return reference.FamiliarString(withoutDigest(ref)), nil
}

// withoutDigest is a reference with its tag, or else the tag latest.
func withoutDigest(ref reference.Named) reference.Named {
	named := reference.TrimNamed(ref)
	if tagged, ok := ref.(reference.Tagged); ok {
		if with, err := reference.WithTag(named, tagged.Tag()); err == nil {
			return with
		}
	}
	return reference.TagNameOnly(named)
}

// announce begins the progress as people know it from images.
func (t transfer) announce(f *found) {
	version := reference.FamiliarString(t.ref)
	if tagged, ok := t.ref.(reference.Tagged); ok {
		version = tagged.Tag()
	}
	progress.Message(t.out, version, "Pulling from "+reference.FamiliarName(t.ref))
	progress.Message(t.out, "", "Digest: "+f.Digest.String())
}

func (in *install) record(t transfer, f *found) *v2.Plugin {
	p := &v2.Plugin{
		PluginObj: types.Plugin{Name: in.name, ID: in.id, PluginReference: t.ref.String(), Config: f.config},
		Config:    f.Config.Digest,
		Manifest:  f.Manifest.Digest,
		Blobsums:  f.blobsums(),
	}
	p.InitEmptySettings()
	return p
}
