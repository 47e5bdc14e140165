//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"

	"github.com/dovetailhq/plugin"
	containerdexecutor "github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/executor/runc"
)

const (
	// namespace is the one dockerd runs plugins in.
	namespace = "plugins.moby"
	shim      = "io.containerd.runc.v2"

	// dialTimeout is how long containerd may take to be there.
	dialTimeout = 10 * time.Second
)

// runner makes the executor that the options ask for.
type runner struct {
	ctx     context.Context // of the daemon, for the executor's requests
	options options
	client  *containerd.Client // nil without --containerd
}

func newRunner(ctx context.Context, o options) (*runner, error) {
	r := &runner{ctx: context.WithoutCancel(ctx), options: o}
	if o.containerd == "" {
		return r, nil
	}
	client, err := containerd.New(o.containerd, containerd.WithDefaultNamespace(namespace), containerd.WithTimeout(dialTimeout))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", o.containerd, err)
	}
	r.client = client
	return r, nil
}

// newExecutor is a plugin.ExecutorCreator.
func (r *runner) newExecutor(manager *plugin.Manager) (plugin.Executor, error) {
	if r.client == nil {
		return runc.New(filepath.Join(r.options.execRoot, "runtime"), manager, runc.WithRuntime(r.options.runtime))
	}
	return containerdexecutor.New(r.ctx, filepath.Join(r.options.execRoot, "containerd"), r.client, namespace, manager, shim, &runcoptions.Options{
		BinaryName: r.options.runtime,
	})
}

func (r *runner) close() error {
	if r.client == nil {
		return nil
	}
	return r.client.Close()
}
