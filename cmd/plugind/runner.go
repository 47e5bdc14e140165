// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
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
	// namespace is the namespace in which dockerd runs plugins.
	namespace = "plugins.moby"
	shim      = "io.containerd.runc.v2"

	// answerTimeout bounds the wait for containerd's first answer.
	answerTimeout = 10 * time.Second
	// retryInterval bounds the wait between attempts to reach a containerd that
	// restarts.
	retryInterval = time.Second
)

// runner makes the executor that the options choose.
type runner struct {
	ctx     context.Context // ends with the daemon's first signal
	options options
	client  *containerd.Client // nil without --containerd
}

func newRunner(ctx context.Context, o options) (*runner, error) {
	r := &runner{ctx: ctx, options: o}
	if o.containerd == "" {
		return r, nil
	}
	client, err := connect(ctx, o.containerd)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", o.containerd, err)
	}
	r.client = client
	return r, nil
}

// connect returns a client after containerd's first answer, because making a
// client does not connect yet.
func connect(ctx context.Context, address string) (*containerd.Client, error) {
	client, err := containerd.New(address, containerd.WithDefaultNamespace(namespace), containerd.WithTimeout(retryInterval))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := client.Version(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// newExecutor implements plugin.ExecutorCreator.
func (r *runner) newExecutor(manager *plugin.Manager) (plugin.Executor, error) {
	if r.options.executor != nil {
		return r.options.executor(manager)
	}
	if r.client == nil {
		return r.newRuncExecutor(manager)
	}
	return r.newContainerdExecutor(manager)
}

// The two functions below return a literal nil with an error, because an
// interface that holds a nil pointer is not nil.

func (r *runner) newRuncExecutor(manager *plugin.Manager) (plugin.Executor, error) {
	settings := []runc.Option{runc.WithRuntime(r.options.runtime)}
	if r.options.systemdCgroup() {
		settings = append(settings, runc.WithSystemdCgroup())
	}
	executor, err := runc.New(filepath.Join(r.options.execRoot, "runtime"), manager, settings...)
	if err != nil {
		return nil, err
	}
	return executor, nil
}

func (r *runner) newContainerdExecutor(manager *plugin.Manager) (plugin.Executor, error) {
	executor, err := containerdexecutor.New(r.ctx, r.options.containerdRoot(), r.client, namespace, manager, shim, &runcoptions.Options{
		BinaryName:    r.options.runtime,
		SystemdCgroup: r.options.systemdCgroup(),
	})
	if err != nil {
		return nil, err
	}
	return executor, nil
}

// containerdRoot is the directory of the executor for a containerd.
func (o options) containerdRoot() string { return filepath.Join(o.execRoot, "containerd") }

func (r *runner) close() error {
	if r.client == nil {
		return nil
	}
	return r.client.Close()
}
