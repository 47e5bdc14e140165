// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	client "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/containerd"
	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
)

const (
	namespace = "plugins.test"
	shim      = "io.containerd.runc.v2"
)

// daemon is a private containerd of a test. It can be restarted.
type daemon struct {
	t         testing.TB
	directory string
	config    string
	command   *exec.Cmd
	log       bytes.Buffer
	client    *client.Client
}

// startDaemon starts a containerd and a client. Both end with the test.
func startDaemon(t testing.TB) *daemon {
	t.Helper()
	// Not t.TempDir: a socket path must be short.
	directory, err := os.MkdirTemp("", "ctd")
	assert.NilError(t, err)
	d := &daemon{t: t, directory: directory, config: filepath.Join(directory, "config.toml")}
	assert.NilError(t, os.WriteFile(d.config, []byte(fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
`, d.path("root"), d.path("state"), d.path("containerd.sock"), d.path("opt"))), 0o600))
	d.start()
	d.client, err = client.New(d.path("containerd.sock"))
	assert.NilError(t, err)
	t.Cleanup(d.remove)
	d.awaitServing()
	return d
}

func (d *daemon) path(name string) string { return filepath.Join(d.directory, name) }

func (d *daemon) start() {
	d.t.Helper()
	d.command = exec.Command("containerd", "--config", d.config)
	d.command.Stdout, d.command.Stderr = &d.log, &d.log
	assert.NilError(d.t, d.command.Start(), "the tests need containerd, and root")
}

// kill kills containerd. Its shims keep running.
func (d *daemon) kill() {
	d.t.Helper()
	assert.NilError(d.t, d.command.Process.Kill())
	assert.ErrorContains(d.t, d.command.Wait(), "killed")
}

// awaitServing waits until the client has reached containerd. A connection to a
// killed containerd can break on first use.
func (d *daemon) awaitServing() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), attendtest.Patience)
	defer cancel()
	for {
		serving, err := d.client.IsServing(ctx)
		if err == nil {
			assert.Assert(d.t, serving)
			return
		}
		assert.Assert(d.t, ctx.Err() == nil && errdefs.IsUnavailable(errgrpc.ToNative(err)), "%v", err)
	}
}

func (d *daemon) remove() {
	d.client.Close()
	d.kill()
	if d.t.Failed() {
		d.t.Logf("containerd said:\n%s", d.log.Bytes())
	}
	assert.NilError(d.t, os.RemoveAll(d.directory))
}

func (d *daemon) newExecutor(root string, exits containerd.ExitHandler) *containerd.Executor {
	d.t.Helper()
	e, err := containerd.New(context.Background(), root, d.client, namespace, exits, shim, nil)
	assert.NilError(d.t, err)
	return e
}
