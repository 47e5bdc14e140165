// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	volumerouter "github.com/docker/docker/api/server/router/volume"
	"github.com/docker/docker/api/types/filters"
	volumetypes "github.com/docker/docker/api/types/volume"
)

// volumeList is the answer to a request for volumes. Requests share it, so it
// must not change. The texts of its volumes are not plain, see [plainVolumes].
type volumeList struct {
	found    []*volumetypes.Volume
	warnings []string
}

// router returns docker's routes, except that lists are written piece by piece.
func (v *volumes) router() router.Router {
	all := routes(volumerouter.NewRouter(plainVolumes{v}, noSwarm{}).Routes())
	for i, route := range all {
		if route.Method() == http.MethodGet && route.Path() == "/volumes" {
			all[i] = router.NewGetRoute(route.Path(), v.serveList)
		}
	}
	return all
}

func (v *volumes) serveList(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	filter, err := filters.FromJSON(r.Form.Get("filters"))
	if err != nil {
		return fmt.Errorf("error reading volume filters: %w", err)
	}
	list, err := v.list(ctx, filter)
	if err != nil {
		return err
	}
	return list.write(w)
}

// write writes a [volumetypes.ListResponse] one volume at a time. Escaped and
// encoded as a whole it would stay in memory for each client that reads slowly.
func (l volumeList) write(w http.ResponseWriter) error {
	if len(l.found) == 0 {
		return httputils.WriteJSON(w, http.StatusOK, volumetypes.ListResponse{Volumes: l.found, Warnings: l.warnings})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	var piece bytes.Buffer
	encoder := json.NewEncoder(&piece)
	encoder.SetEscapeHTML(false)
	next := func(before string, value any) error {
		piece.Reset()
		piece.WriteString(before)
		if err := encoder.Encode(value); err != nil {
			return err
		}
		piece.Truncate(piece.Len() - 1) // the newline of Encode
		_, err := w.Write(piece.Bytes())
		return err
	}
	before := `{"Volumes":[`
	for _, volume := range l.found {
		if err := next(before, plainVolume(volume)); err != nil {
			return err
		}
		before = ","
	}
	if err := next(`],"Warnings":`, l.warnings); err != nil {
		return err
	}
	_, err := io.WriteString(w, "}\n")
	return err
}
