// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package v2

import (
	"context"
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// InitSpec fails with an error of class NotImplemented: plugins run on Linux.
func (p *Plugin) InitSpec(execRoot string) (*specs.Spec, error) {
	return p.InitSpecContext(context.Background(), execRoot)
}

// InitSpecContext fails like [Plugin.InitSpec].
func (p *Plugin) InitSpecContext(context.Context, string) (*specs.Spec, error) {
	return nil, fmt.Errorf("make spec of plugin %q on %s: %w", p.Name(), runtime.GOOS, errdefs.ErrNotImplemented)
}

// WritableSources is empty: plugins run on Linux.
func (p *Plugin) WritableSources() []string { return nil }

// Exposures is empty: plugins run on Linux.
func (p *Plugin) Exposures() []Exposure { return nil }

func sourcePaths(*Plugin) map[string]string { return nil }

func leads(path string, _ *walk) string { return path }

func pinsOf(string, *watch) []string { return nil }
