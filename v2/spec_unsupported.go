//go:build !linux

package v2

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// InitSpec fails with an error of class NotImplemented: plugins run on Linux.
func (p *Plugin) InitSpec(string) (*specs.Spec, error) {
	return nil, fmt.Errorf("make spec of plugin %q on %s: %w", p.Name(), runtime.GOOS, errdefs.ErrNotImplemented)
}

// WritableDirectories is empty: plugins run on Linux.
func (p *Plugin) WritableDirectories() []string { return nil }

func pinsOf(string, *watch) []string { return []string{} }
