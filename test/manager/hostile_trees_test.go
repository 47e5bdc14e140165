// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/durable"
)

// TestVerbsLeaveLongDeletionsToCollector calls each verb on a manager that does not
// wait for deletions. The verb's promises hold, and the next collection deletes
// all leftovers.
func TestVerbsLeaveLongDeletionsToCollector(t *testing.T) {
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			f := unstarted(t)
			f.files = durable.FS{Patience: -1}
			assert.NilError(t, f.boot())
			verb.prepare(f)
			after := verb.after
			if after == "same" {
				after = f.state()
			}
			assert.NilError(t, verb.do(f))
			assert.Equal(t, f.state(), after)
			f.Check("at once")
			f.Shutdown()
			assert.NilError(t, f.boot())
			assert.Equal(t, f.state(), after)
			f.Check("restarted")
			entries, err := os.ReadDir(f.Config.ExecRoot)
			assert.NilError(t, err)
			for _, entry := range entries {
				assert.Check(t, len(entry.Name()) == 64, "%s is left", entry.Name())
			}
		})
	}
}

// TestDeepTreesOfPlugins nests directories deeper than a path can name, in every
// place that a running plugin can write to.
func TestDeepTreesOfPlugins(t *testing.T) {
	w := newWorld(t).start()
	assert.NilError(t, w.CreateConfig("p", settable("p")))
	assert.NilError(t, w.CreateConfig("other", settable("other")))
	w.MustEnable("p")
	id := w.ID("p")
	sockets := filepath.Join(w.Config.ExecRoot, id)
	for _, dir := range []string{"rootfs", "propagated-mount"} {
		nest(t, filepath.Join(w.Config.Root, id, dir))
	}
	nest(t, sockets)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, len(usage.Plugins), 2)
	for _, one := range usage.Plugins {
		assert.NilError(t, one.Err)
		assert.Check(t, one.Rootfs > 0, one.Name)
	}

	// Exit, restart and boot begin with a new directory.
	assert.NilError(t, w.Disable("p", nil))
	assert.Check(t, isGone(sockets))
	w.MustEnable("p")
	nest(t, sockets)
	w.restart()
	nest(t, sockets)
	assert.NilError(t, w.Remove("p", forced))
	_, err = w.Prune(t.Context())
	assert.NilError(t, err)
	w.Check("removed")
	list, err := w.List(filters.NewArgs())
	assert.NilError(t, err)
	assert.Check(t, is.Len(list, 1))
	entries, err := os.ReadDir(w.Config.ExecRoot)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0, "%v", entries)
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

// nest makes nested directories with a file in each.
func nest(t *testing.T, top string) {
	t.Helper()
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Open(top, flags, 0)
	assert.NilError(t, err)
	for i := range unix.PathMax {
		file, err := unix.Openat(fd, fmt.Sprint("file", i), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		assert.NilError(t, err)
		assert.NilError(t, unix.Close(file))
		assert.NilError(t, unix.Mkdirat(fd, "d", 0o700))
		below, err := unix.Openat(fd, "d", flags, 0)
		assert.NilError(t, err)
		assert.NilError(t, unix.Close(fd))
		fd = below
	}
	assert.NilError(t, unix.Close(fd))
}
