// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/docker/docker/api/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/build"
)

// installBuilt installs a plugin as --install below --root, which no plugind uses.
func (o buildOptions) installBuilt(ctx context.Context, builder *build.Builder, built ocispec.Descriptor) (err error) {
	if !filepath.IsAbs(o.root) {
		return fmt.Errorf("--root %q: use an absolute path", o.root)
	}
	layout, err := builder.Layout(built)
	if err != nil {
		return err
	}
	execRoot, err := os.MkdirTemp("", "plugind-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(execRoot)) }()
	manager, err := plugin.NewManager(plugin.ManagerConfig{
		Store:              plugin.NewStore(),
		Root:               filepath.Join(o.root, "plugins"),
		ExecRoot:           execRoot,
		LiveRestoreEnabled: true, // leave the runs of another plugind alone
		CreateExecutor:     func(*plugin.Manager) (plugin.Executor, error) { return idle{}, nil },
	})
	var used *plugin.RootInUseError
	if errors.As(err, &used) {
		return fmt.Errorf("%w; or push the plugin and install it there", err)
	}
	if err != nil {
		return err
	}
	defer manager.Shutdown()
	return manager.CreateFromLayout(ctx, layout, &types.PluginCreateOptions{RepoName: o.install})
}

// idle is an executor that runs nothing and does not know what runs, so that the
// manager of an install starts and stops nothing.
type idle struct{}

var errIdle = errors.New("plugind build runs no plugins")

// Create returns an error.
func (idle) Create(_ string, _ specs.Spec, _, _ io.WriteCloser) error { return errIdle }

// IsRunning returns an error.
func (idle) IsRunning(string) (bool, error) { return false, errIdle }

// Restore returns an error.
func (idle) Restore(_ string, _, _ io.WriteCloser) (bool, error) { return false, errIdle }

// Signal returns an error.
func (idle) Signal(string, syscall.Signal) error { return errIdle }
