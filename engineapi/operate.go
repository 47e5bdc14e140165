// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/types/backend"

	"github.com/dovetailhq/plugin/internal/class"
)

func (p *plugins) enable(_ context.Context, _ http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	timeout, err := timeoutSeconds(r.Form.Get("timeout"))
	if err != nil {
		return err
	}
	return p.backend.Enable(vars["name"], &backend.PluginEnableConfig{Timeout: timeout})
}

// timeoutSeconds parses the timeout of calls to a plugin. No value is zero,
// which stands for the backend's default.
func timeoutSeconds(value string) (int, error) {
	if value == "" {
		return 0, nil
	}
	seconds, err := strconv.Atoi(value)
	if err != nil {
		return 0, class.InvalidParameter(fmt.Errorf("read timeout %q: not a number of seconds", value))
	}
	if seconds < 0 {
		return 0, class.InvalidParameter(fmt.Errorf("negative timeout %d is invalid", seconds))
	}
	return seconds, nil
}

func (p *plugins) disable(_ context.Context, _ http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	return p.backend.Disable(vars["name"], &backend.PluginDisableConfig{
		ForceDisable: httputils.BoolValue(r, "force"),
	})
}

func (p *plugins) remove(_ context.Context, _ http.ResponseWriter, r *http.Request, vars map[string]string) error {
	if err := httputils.ParseForm(r); err != nil {
		return err
	}
	return p.backend.Remove(vars["name"], &backend.PluginRmConfig{
		ForceRemove: httputils.BoolValue(r, "force"),
	})
}

func (p *plugins) set(_ context.Context, w http.ResponseWriter, r *http.Request, vars map[string]string) error {
	var args []string
	if err := httputils.ReadJSON(r, &args); err != nil {
		return err
	}
	if err := p.backend.Set(vars["name"], args); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
