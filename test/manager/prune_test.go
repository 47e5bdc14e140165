// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
)

// litterLive writes files like those that failures leave, below a running manager.
func (w *world) litterLive() {
	w.T.Helper()
	w.putFile("garbage", "storage", "blobs", "sha256", digest.FromString("garbage").Encoded())
	ref := "fetch " + digest.FromString("cut off").String()
	ingest := digest.FromString(ref).Encoded()
	w.putFile(ref, "storage", "ingest", ingest, "ref")
	w.putFile("cut", "storage", "ingest", ingest, "data")
	w.putFile("", strings.Repeat("1", 64)+"-removing", "rootfs", "file")
	w.putFile("", "tmp", "a stage", "file")
}

func TestDiskUsageAndPrune(t *testing.T) {
	w := newWorld(t).start()
	small := w.Create("small")
	big := settable("big")
	assert.NilError(t, w.CreateConfig("big", big))
	w.putFile(strings.Repeat("x", 1<<20), w.ID("big"), "rootfs", "data")
	w.putFile("volume", w.ID("big"), "propagated-mount", "volume")
	w.MustEnable("small")

	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, len(usage.Plugins), 2)
	assert.Equal(t, usage.Plugins[0].Name, "big:latest")
	assert.Equal(t, usage.Plugins[1].ID, small)
	assert.Check(t, usage.Plugins[0].Rootfs > usage.Plugins[1].Rootfs+1<<20-1, "%+v", usage.Plugins)
	assert.Check(t, usage.Plugins[0].Data > 0 && usage.Plugins[1].Data == 0)
	assert.Equal(t, usage.Blobs.Count, len(w.Blobs()))
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	blobBytes := usage.Blobs.Bytes

	w.litterLive()
	usage, err = w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Blobs.Bytes, blobBytes+7)
	assert.Equal(t, usage.Garbage.Blobs, plugin.SpaceUsage{Count: 1, Bytes: 7})
	assert.Equal(t, usage.Garbage.Downloads, plugin.SpaceUsage{Count: 1, Bytes: 3})
	assert.Equal(t, usage.Garbage.Leftovers.Count, 2)
	assert.Equal(t, usage.Garbage.Bytes(), 10+usage.Garbage.Leftovers.Bytes)

	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted, usage.Garbage)
	usage, err = w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	assert.Equal(t, usage.Blobs.Bytes, blobBytes)
	assert.Check(t, w.Alive("small"))
	w.CheckBut(plugintest.RootCheck{ExecRoot: w.Config.ExecRoot, SelfModifying: true}, "pruned")

	deleted, err = w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted, plugin.Garbage{})
}

func TestPruneKeepsBlobsOfBrokenPlugin(t *testing.T) {
	w := newWorld(t).start()
	broken := w.Create("broken")
	w.Shutdown()
	w.putFile(`{"plugin":`, broken, "config.json")
	w.start()
	w.litterLive()
	before := w.Blobs()
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Plugins[0].ID, broken)
	assert.Equal(t, usage.Garbage.Blobs, plugin.SpaceUsage{})
	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Blobs, plugin.SpaceUsage{})
	assert.Equal(t, deleted.Downloads.Count, 1)
	assert.DeepEqual(t, w.Blobs(), before)
}

func TestPruneThatCannot(t *testing.T) {
	w := newWorld(t).start()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	w.Create("p")
	_, err := w.DiskUsage(cancelled)
	assert.Check(t, is.ErrorIs(err, context.Canceled))
	_, err = w.Prune(cancelled)
	assert.Check(t, is.ErrorIs(err, context.Canceled))
	w.Shutdown()
	var fenced *plugin.FencedError
	_, err = w.Prune(t.Context())
	assert.Check(t, errors.As(err, &fenced), "%v", err)
}

func TestPruneStopsAtMounts(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	w := newWorld(t).start()
	w.litterLive()
	busy := filepath.Join(w.Config.Root, "tmp", "a stage", "busy")
	assert.NilError(t, os.Mkdir(busy, 0o700))
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	deleted, err := w.Prune(t.Context())
	assert.Check(t, errdefs.IsInternal(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "is mounted below it"))
	assert.Equal(t, deleted.Leftovers.Count, 1, "leftovers without a mount are deleted")
	assert.Equal(t, deleted.Blobs.Count, 1)
	assert.NilError(t, unix.Unmount(busy, 0))
	deleted, err = w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Leftovers.Count, 1)
}

// TestPruneMeasuresWithinPatience leaves a directory that can't be deleted and takes
// longer to measure than a verb waits, after the end of its context as well.
func TestPruneMeasuresWithinPatience(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	f := unstarted(t)
	f.litterLive()
	busy := filepath.Join(f.Config.Root, "tmp", "a stage", "busy")
	assert.NilError(t, os.Mkdir(busy, 0o700))
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	t.Cleanup(func() { assert.NilError(t, unix.Unmount(busy, 0)) })
	f.files.Patience = -1
	assert.NilError(t, f.boot())
	deleted, err := f.Prune(t.Context())
	assert.Check(t, is.ErrorIs(err, context.DeadlineExceeded))
	assert.Check(t, is.ErrorContains(err, "is mounted below it"))
	assert.Equal(t, deleted.Leftovers, plugin.SpaceUsage{})
}
