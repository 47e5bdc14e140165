// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/docker/docker/api/server/httputils"
	"github.com/docker/docker/api/server/router"
	"github.com/docker/docker/api/types"
	"github.com/spf13/cobra"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/plaintext"
)

const importHelp = `Import plugins of docker 1.12 into a running plugind.

Without NAME, DIR has an inventory, plugins.json, and a directory for each of
its plugins. All of them are imported, and the inventory gets the suffix
".imported".

With NAME, DIR is the directory of one plugin, which no inventory lists: a
rootfs, and either manifest.json or config.json.

Plugins are copied. plugind imports an inventory in its own plugin directory
when it starts.`

func newImportCommand() *cobra.Command {
	var host string
	command := &cobra.Command{
		Use:   "import [OPTIONS] DIR [NAME]",
		Short: "Import plugins of docker 1.12",
		Long:  importHelp,
		Args:  cobra.RangeArgs(1, 2),

		DisableFlagsInUseLine: true,
		RunE: func(command *cobra.Command, args []string) error {
			socket, err := options{host: host}.socket()
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 1 {
				name = args[1]
			}
			return runImport(command.Context(), socket, args[0], name, command.OutOrStdout())
		},
	}
	command.Flags().StringVarP(&host, "host", "H", defaultHost, "socket of plugind")
	return command
}

// importAnswer lists the plugins of an import.
type importAnswer struct {
	Inventory string `json:",omitempty"`
	Plugins   []importedPlugin
}

type importedPlugin struct {
	LegacyID string
	ID       string `json:",omitempty"`
	Name     string
	Error    string `json:",omitempty"` // why it was not imported
}

// importRoute serves the imports of a manager. An import ends when its client leaves,
// and can be repeated.
func importRoute(manager *plugin.Manager) router.Router {
	return routes{router.NewPostRoute("/plugins/import", func(ctx context.Context, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
		query := r.URL.Query()
		answer, err := importInto(ctx, manager, query.Get("dir"), query.Get("name"))
		if err != nil {
			return err
		}
		return httputils.WriteJSON(w, http.StatusOK, answer)
	})}
}

func importInto(ctx context.Context, manager *plugin.Manager, dir, name string) (importAnswer, error) {
	if !filepath.IsAbs(dir) {
		return importAnswer{}, &plugin.InvalidError{What: "directory", Err: fmt.Errorf("%q is not an absolute path", dir)}
	}
	if name != "" {
		imported, err := manager.ImportDirectory(ctx, dir, name)
		return importAnswer{Plugins: []importedPlugin{answerOf(imported)}}, err
	}
	report, err := manager.ImportLegacy(ctx, dir)
	answer := importAnswer{Inventory: report.Inventory, Plugins: []importedPlugin{}}
	for _, p := range report.Entries {
		answer.Plugins = append(answer.Plugins, answerOf(p))
	}
	return answer, err
}

func answerOf(p plugin.ImportedPlugin) importedPlugin {
	answer := importedPlugin{LegacyID: p.LegacyID, ID: p.ID, Name: p.Name}
	if p.Err != nil {
		answer.Error = p.Err.Error()
	}
	return answer
}

// runImport asks the plugind at a socket for an import, and prints a line for each
// plugin. The error counts those that were not imported.
func runImport(ctx context.Context, socket, dir, name string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	answer, err := askImport(ctx, socket, url.Values{"dir": {dir}, "name": {name}})
	if err != nil {
		return fmt.Errorf("import %s: %w", dir, err)
	}
	failed := 0
	for _, p := range answer.Plugins {
		line := fmt.Sprintf("%s\t%s", p.Name, p.ID)
		if p.Error != "" {
			failed++
			line = fmt.Sprintf("%s\tnot imported: %s", p.LegacyID, p.Error)
		}
		if _, err := fmt.Fprintln(out, plaintext.Quote(line)); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d plugins were not imported", failed, len(answer.Plugins))
	}
	return nil
}

func askImport(ctx context.Context, socket string, query url.Values) (importAnswer, error) {
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugind/plugins/import?"+query.Encode(), nil)
	if err != nil {
		return importAnswer{}, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return importAnswer{}, err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode != http.StatusOK {
		var refusal types.ErrorResponse
		if err := decoder.Decode(&refusal); err != nil {
			return importAnswer{}, errors.New(response.Status)
		}
		return importAnswer{}, errors.New(refusal.Message)
	}
	var answer importAnswer
	err = decoder.Decode(&answer)
	return answer, err
}
