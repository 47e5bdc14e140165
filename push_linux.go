// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/pkg/progress"

	"github.com/dovetailhq/plugin/internal/distribution"
	v2 "github.com/dovetailhq/plugin/v2"
)

// Push sends a plugin, enabled or not, to the registry and repository of its
// name. The manifest is sent unchanged, so that its digest stays the same; blobs
// that the registry has are not sent. Progress goes to outStream, which may be
// nil, and ends with tag, digest and size.
//
// Errors: those of [Manager.Get]; of the registry as with [Manager.Privileges];
// class InvalidParameter for a name that is not the name of a repository;
// [MissingBlobError], before anything is sent, for a plugin with missing content; and
// [CorruptBlobError] for damaged content, which no registry receives whole.
func (pm *Manager) Push(ctx context.Context, name string, metaHeader http.Header, authConfig *registry.AuthConfig, outStream io.Writer) (retErr error) {
	defer plain(&retErr)
	if err := pm.writable(); err != nil {
		return err
	}
	live, err := pm.Get(name)
	if err != nil {
		return err
	}
	if pm.config.RegistryService == nil {
		return errNoRegistry
	}
	ctx, out, end, err := pm.beginTransfer(ctx, outStream)
	if err != nil {
		return err
	}
	defer end()
	p := live.Clone()
	ref, err := reference.ParseNormalizedNamed(p.Name())
	if err != nil {
		return &InvalidError{What: fmt.Sprintf("plugin name %q", p.Name()), Err: err}
	}
	pin := pm.blobs.NewPin()
	defer pin.Release()
	manifest, err := pm.content().Manifest(ctx, pin, p)
	if err != nil {
		return err
	}
	t := distribution.Transfer{Reference: ref, Headers: metaHeader, Auth: authConfig, Pin: pin, Progress: out}
	progress.Messagef(out, "", "The push refers to repository [%s]", ref.Name())
	if err := pm.content().Push(ctx, t, manifest, sources(p)...); err != nil {
		return err
	}
	pm.config.LogPluginEvent(p.GetID(), p.Name(), events.ActionPush)
	return nil
}

// sources returns the repository that the plugin was pulled from. Its layers can
// be mounted from there, see
// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#mounting-a-blob-from-another-repository.
func sources(p *v2.Plugin) []reference.Named {
	origin, err := reference.ParseNormalizedNamed(p.PluginObj.PluginReference)
	if err != nil {
		return nil
	}
	return []reference.Named{origin}
}
