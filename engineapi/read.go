// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
)

func (p *plugins) list(_ context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	wanted, err := filters.FromJSON(r.Form.Get("filters"))
	if err != nil {
		return err
	}
	found, err := p.backend.List(wanted)
	if err != nil {
		return err
	}
	if found == nil {
		found = []types.Plugin{} // some clients do not accept null for a list
	}
	return httputils.WriteJSON(w, http.StatusOK, found)
}

func (p *plugins) inspect(_ context.Context, w http.ResponseWriter, _ *http.Request, vars map[string]string) error {
	found, err := p.backend.Inspect(vars["name"])
	if err != nil {
		return err
	}
	return httputils.WriteJSON(w, http.StatusOK, found)
}

func (p *plugins) privileges(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	remote, err := parseRemote(r.Form.Get("remote"))
	if err != nil {
		return err
	}
	asked, err := p.backend.Privileges(ctx, remote.ref, metaHeaders(r), registryAuth(r))
	if err != nil {
		return err
	}
	if asked == nil {
		asked = types.PluginPrivileges{}
	}
	return httputils.WriteJSON(w, http.StatusOK, asked)
}
