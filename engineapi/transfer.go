// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin"
)

// nameHeader is the header with the name under which a plugin is installed. The
// client uses it to set and enable the plugin afterwards.
const nameHeader = "Docker-Plugin-Name"

func (p *plugins) create(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	// The body is the build context, so the form is the query alone.
	options := &types.PluginCreateOptions{RepoName: r.URL.Query().Get("name")}
	err := p.backend.CreateFromContext(ctx, r.Body, options)
	if err != nil {
		if body, ok := r.Body.(*pacedBody); ok {
			body.discard()
		}
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (p *plugins) pull(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	remote, err := parseRemote(r.Form.Get("remote"))
	if err != nil {
		return err
	}
	name, err := remote.localName(r.Form.Get("name"))
	if err != nil {
		return err
	}
	var granted types.PluginPrivileges
	if err := httputils.ReadJSON(r, &granted); err != nil {
		return err
	}

	w.Header().Set(nameHeader, name)
	progress := newProgressStream(w)
	err = p.backend.Pull(ctx, remote.ref, name, metaHeaders(r), registryAuth(r), granted, progress)
	return progress.finish(http.StatusNoContent, err)
}

func (p *plugins) upgrade(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	remote, err := parseRemote(r.Form.Get("remote"))
	if err != nil {
		return err
	}
	name := vars["name"]
	if err := refuseDigest(name); err != nil {
		return err
	}
	var granted types.PluginPrivileges
	if err := httputils.ReadJSON(r, &granted); err != nil {
		return err
	}

	w.Header().Set(nameHeader, name)
	if httputils.BoolValue(r, "dropLostSettings") { // this parameter is ours, not docker's
		ctx = plugin.DropLostSettings(ctx)
	}
	progress := newProgressStream(w)
	err = p.backend.Upgrade(ctx, remote.ref, name, metaHeaders(r), registryAuth(r), granted, progress)
	return progress.finish(http.StatusNoContent, err)
}

func (p *plugins) push(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	progress := newProgressStream(w)
	err := p.backend.Push(ctx, vars["name"], metaHeaders(r), registryAuth(r), progress)
	return progress.finish(http.StatusOK, err)
}
