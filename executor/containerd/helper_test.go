// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerd_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
)

// inNamespace returns a context for containerd calls of the tests.
func inNamespace(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), attendtest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// assertNothingLeft fails if containerd or the executor's directory has anything
// left of any run.
func (d *daemon) assertNothingLeft(root string) {
	d.t.Helper()
	ctx := inNamespace(d.t)
	containers, err := d.client.ContainerService().List(ctx)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(containers), 0, "containers")
	running, err := d.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(running.Tasks), 0, "tasks: %v", running.Tasks)
	leases, err := d.client.LeasesService().List(ctx)
	assert.NilError(d.t, err)
	assert.Equal(d.t, len(leases), 0, "leases")
	assertNoRuns(d.t, root)
}

// assertNoRuns fails if an executor's directory has anything but locks.
func assertNoRuns(t testing.TB, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	assert.NilError(t, err)
	entries = slices.DeleteFunc(entries, func(entry os.DirEntry) bool { return strings.HasPrefix(entry.Name(), ".lock-") })
	assert.Equal(t, len(entries), 0, "%s holds %v", root, entries)
}

// assertNothingLeftOf is assertNothingLeft for one run.
func (d *daemon) assertNothingLeftOf(t *testing.T, id, root string) {
	t.Helper()
	ctx := inNamespace(t)
	_, err := d.client.ContainerService().Get(ctx, id)
	assert.Assert(t, errdefs.IsNotFound(err), "container: %v", err)
	_, err = d.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	assert.Assert(t, errdefs.IsNotFound(errgrpc.ToNative(err)), "task: %v", err)
	assertNoRuns(t, root)
	attendtest.AwaitNoneOf(t, "id="+id)
}
