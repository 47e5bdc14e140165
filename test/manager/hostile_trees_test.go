package plugin_test

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

// TestVerbsLeaveLongDeletionsToCollector calls each verb on a manager that
// waits for no deletion at all: what a verb promises holds, and a collection
// later nothing is left over.
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
			f.check("at once")
			f.Shutdown()
			assert.NilError(t, f.boot())
			assert.Equal(t, f.state(), after)
			f.check("restarted")
			entries, err := os.ReadDir(f.config.ExecRoot)
			assert.NilError(t, err)
			for _, entry := range entries {
				assert.Check(t, len(entry.Name()) == 64, "%s is left", entry.Name())
			}
		})
	}
}

// TestDeepTreesOfPlugins nests directories, as a plugin that runs can do, in all
// places of a plugin, deeper than a path can name.
func TestDeepTreesOfPlugins(t *testing.T) {
	w := newWorld(t).start()
	assert.NilError(t, w.createConfig("p", settable("p")))
	assert.NilError(t, w.createConfig("other", settable("other")))
	w.enable("p")
	id := w.id("p")
	sockets := filepath.Join(w.config.ExecRoot, id)
	for _, dir := range []string{"rootfs", "propagated-mount"} {
		nest(t, filepath.Join(w.config.Root, id, dir))
	}
	nest(t, sockets)
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, len(usage.Plugins), 2)
	for _, one := range usage.Plugins {
		assert.NilError(t, one.Err)
		assert.Check(t, one.Rootfs > 0, one.Name)
	}

	// Exit, restart and boot begin with a directory of their own.
	assert.NilError(t, w.Disable("p", nil))
	assert.Check(t, isGone(sockets))
	w.enable("p")
	nest(t, sockets)
	w.restart()
	nest(t, sockets)
	assert.NilError(t, w.Remove("p", forced))
	_, err = w.Prune(t.Context())
	assert.NilError(t, err)
	w.check("removed")
	list, err := w.List(filters.NewArgs())
	assert.NilError(t, err)
	assert.Check(t, is.Len(list, 1))
	entries, err := os.ReadDir(w.config.ExecRoot)
	assert.NilError(t, err)
	assert.Equal(t, len(entries), 0, "%v", entries)
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

// nest makes directories in each other, and a file in each.
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
