// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/registry"

	"github.com/dovetailhq/plugin"
)

// recorder is a backend that records its calls, one line each, and returns what
// its fields hold.
type recorder struct {
	mu    sync.Mutex
	calls []string

	plugins    []types.Plugin
	privileges types.PluginPrivileges
	progress   []string // written to outStream, one write each
	err        error    // returned after progress
	panics     bool
}

var _ Backend = &recorder{}

func (b *recorder) record(format string, values ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, fmt.Sprintf(format, values...))
	if b.panics {
		panic("out of cheese")
	}
	return b.err
}

func (b *recorder) recorded() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *recorder) report(outStream io.Writer) {
	for _, message := range b.progress {
		if _, err := io.WriteString(outStream, message); err != nil {
			return
		}
	}
}

func (b *recorder) List(wanted filters.Args) ([]types.Plugin, error) {
	err := b.record("list %s", asJSON(wanted))
	return b.plugins, err
}

func (b *recorder) Inspect(ref string) (*types.Plugin, error) {
	if err := b.record("inspect %s", ref); err != nil {
		return nil, err
	}
	return &types.Plugin{Name: ref, ID: "1234"}, nil
}

func (b *recorder) Enable(ref string, config *backend.PluginEnableConfig) error {
	return b.record("enable %s timeout=%d", ref, config.Timeout)
}

func (b *recorder) Disable(ref string, config *backend.PluginDisableConfig) error {
	return b.record("disable %s force=%t", ref, config.ForceDisable)
}

func (b *recorder) Remove(name string, config *backend.PluginRmConfig) error {
	return b.record("remove %s force=%t", name, config.ForceRemove)
}

func (b *recorder) Set(name string, args []string) error {
	return b.record("set %s %q", name, args)
}

func (b *recorder) CreateFromContext(_ context.Context, tarCtx io.ReadCloser, options *types.PluginCreateOptions) error {
	content, err := io.ReadAll(tarCtx)
	if err != nil {
		return err
	}
	return b.record("create %s from %d bytes", options.RepoName, len(content))
}

func (b *recorder) Privileges(_ context.Context, ref reference.Named, meta http.Header, auth *registry.AuthConfig) (types.PluginPrivileges, error) {
	err := b.record("privileges %s %s", ref, sender(meta, auth))
	return b.privileges, err
}

func (b *recorder) Pull(_ context.Context, ref reference.Named, name string, meta http.Header, auth *registry.AuthConfig, granted types.PluginPrivileges, outStream io.Writer, _ ...plugin.CreateOpt) error {
	b.report(outStream)
	return b.record("pull %s as %s %s granted=%s", ref, name, sender(meta, auth), names(granted))
}

func (b *recorder) Upgrade(ctx context.Context, ref reference.Named, name string, meta http.Header, auth *registry.AuthConfig, granted types.PluginPrivileges, outStream io.Writer) error {
	b.report(outStream)
	dropping := ""
	if plugin.DropsLostSettings(ctx) {
		dropping = " dropping"
	}
	return b.record("upgrade %s to %s %s granted=%s%s", name, ref, sender(meta, auth), names(granted), dropping)
}

func (b *recorder) Push(_ context.Context, name string, meta http.Header, auth *registry.AuthConfig, outStream io.Writer) error {
	b.report(outStream)
	return b.record("push %s %s", name, sender(meta, auth))
}

// sender formats the account and headers of a call, as the registry would see
// them.
func sender(meta http.Header, auth *registry.AuthConfig) string {
	return fmt.Sprintf("by=%s meta=%s", auth.Username, asJSON(meta))
}

func names(granted types.PluginPrivileges) string {
	var all []string
	for _, privilege := range granted {
		all = append(all, privilege.Name)
	}
	return strings.Join(all, ",")
}

func asJSON(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
