//go:build linux

package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// litterLive leaves, beside a manager that lives, what failures leave.
func (w *world) litterLive() {
	w.t.Helper()
	w.leave("garbage", "storage", "blobs", "sha256", digest.FromString("garbage").Encoded())
	ref := "fetch " + digest.FromString("cut off").String()
	ingest := digest.FromString(ref).Encoded()
	w.leave(ref, "storage", "ingest", ingest, "ref")
	w.leave("cut", "storage", "ingest", ingest, "data")
	w.leave("", strings.Repeat("1", 64)+"-removing", "rootfs", "file")
	w.leave("", "tmp", "a stage", "file")
}

func TestDiskUsageAndPrune(t *testing.T) {
	w := newWorld(t).start()
	small := w.create("small")
	big := settable("big")
	assert.NilError(t, w.createConfig("big", big))
	w.leave(strings.Repeat("x", 1<<20), w.id("big"), "rootfs", "data")
	w.leave("volume", w.id("big"), "propagated-mount", "volume")
	w.enable("small")

	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, len(usage.Plugins), 2)
	assert.Equal(t, usage.Plugins[0].Name, "big:latest")
	assert.Equal(t, usage.Plugins[1].ID, small)
	assert.Check(t, usage.Plugins[0].Rootfs > usage.Plugins[1].Rootfs+1<<20-1, "%+v", usage.Plugins)
	assert.Check(t, usage.Plugins[0].Data > 0 && usage.Plugins[1].Data == 0)
	assert.Equal(t, usage.Blobs.Count, len(w.blobs()))
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	blobBytes := usage.Blobs.Bytes

	w.litterLive()
	usage, err = w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Blobs.Bytes, blobBytes+7)
	assert.Equal(t, usage.Garbage.Blobs, plugin.Usage{Count: 1, Bytes: 7})
	assert.Equal(t, usage.Garbage.Downloads, plugin.Usage{Count: 1, Bytes: 3})
	assert.Equal(t, usage.Garbage.Leftovers.Count, 2)
	assert.Equal(t, usage.Garbage.Bytes(), 10+usage.Garbage.Leftovers.Bytes)

	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted, usage.Garbage)
	usage, err = w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage, plugin.Garbage{})
	assert.Equal(t, usage.Blobs.Bytes, blobBytes)
	assert.Check(t, w.alive("small"))
	w.checkBut(plugintest.RootCheck{ExecRoot: w.config.ExecRoot, SelfModifying: true}, "pruned")

	deleted, err = w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted, plugin.Garbage{})
}

func TestPruneKeepsBlobsOfBrokenPlugin(t *testing.T) {
	w := newWorld(t).start()
	broken := w.create("broken")
	w.Shutdown()
	w.leave(`{"plugin":`, broken, "config.json")
	w.start()
	w.litterLive()
	before := w.blobs()
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Plugins[0].ID, broken)
	assert.Equal(t, usage.Garbage.Blobs, plugin.Usage{})
	deleted, err := w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Blobs, plugin.Usage{})
	assert.Equal(t, deleted.Downloads.Count, 1)
	assert.DeepEqual(t, w.blobs(), before)
}

func TestPruneThatCannot(t *testing.T) {
	w := newWorld(t).start()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	w.create("p")
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
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	w := newWorld(t).start()
	w.litterLive()
	busy := filepath.Join(w.config.Root, "tmp", "a stage", "busy")
	assert.NilError(t, os.Mkdir(busy, 0o700))
	assert.NilError(t, unix.Mount("none", busy, "tmpfs", 0, ""))
	deleted, err := w.Prune(t.Context())
	assert.Check(t, cerrdefs.IsInternal(err), "%v", err)
	assert.Check(t, is.ErrorContains(err, "is mounted below it"))
	assert.Equal(t, deleted.Leftovers.Count, 1, "what is not busy was to go")
	assert.Equal(t, deleted.Blobs.Count, 1)
	assert.NilError(t, unix.Unmount(busy, 0))
	deleted, err = w.Prune(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, deleted.Leftovers.Count, 1)
}
