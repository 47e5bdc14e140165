package engineapi

import (
	"context"
	"io"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types"
)

// nameHeader tells the client under which name a plugin is being installed,
// so that it can set and enable it afterwards.
const nameHeader = "Docker-Plugin-Name"

func (p *plugins) create(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	// The body is the build context, so the form is the query alone.
	options := &types.PluginCreateOptions{RepoName: r.URL.Query().Get("name")}
	err := p.backend.CreateFromContext(ctx, io.NopCloser(r.Body), options)
	if err != nil {
		discard(r.Body)
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// discardLimit is how much of a refused build context is still taken. More
// costs the client more than the complaint it is spared.
const discardLimit = 256 << 20

// discard takes what is left of a body that was refused: a client that is cut
// off while it sends complains about that, beside the answer.
func discard(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, discardLimit) // a client that is gone is no matter
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
	progress := newProgressStream(w)
	err = p.backend.Upgrade(ctx, remote.ref, name, metaHeaders(r), registryAuth(r), granted, progress)
	return progress.finish(http.StatusNoContent, err)
}

func (p *plugins) push(ctx context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	progress := newProgressStream(w)
	err := p.backend.Push(ctx, vars["name"], metaHeaders(r), registryAuth(r), progress)
	return progress.finish(http.StatusOK, err)
}
