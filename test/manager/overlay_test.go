// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/testenv"
)

// mountAt mounts a file system until the test ends.
func mountAt(t testing.TB, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	testenv.NeedsRoot(t, "mounting")
	assert.NilError(t, unix.Mount(source, target, kind, flags, data))
	t.Cleanup(func() { assert.Check(t, unix.Unmount(target, unix.MNT_DETACH)) })
}

// TestRootInContainer uses a root in the lower layer of an overlayfs, as in an image
// with plugins for docker in docker. Directories of that layer can't be renamed.
func TestRootInContainer(t *testing.T) {
	dir := t.TempDir()
	mountAt(t, "none", dir, "tmpfs", 0, "")
	for _, sub := range []string{"lower", "upper", "work", "root"} {
		assert.NilError(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	f := unstarted(t)
	f.Config.Root = filepath.Join(dir, "lower")
	assert.NilError(t, f.boot())
	assert.NilError(t, f.pullVersion("v1"))
	assert.NilError(t, f.Set("p", []string{"DEBUG=1"}))
	f.install("on")
	f.MustEnable("on")
	f.putFile("a volume", f.ID("p"), "propagated-mount", "volume")
	f.Shutdown()
	mountAt(t, "overlay", filepath.Join(dir, "root"), "overlay", 0,
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,redirect_dir=off", dir))
	f.Config.Root = filepath.Join(dir, "root")
	f.start()
	assert.Check(t, f.Alive("on"))
	usage, err := f.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Garbage, plugin.Garbage{})

	assert.NilError(t, f.upgrade(f.repository+"v2", "p", f.privileges()))
	assert.Check(t, is.Contains(f.state(), `p:latest false [DEBUG=1] "v2"`))
	version, err := os.ReadFile(filepath.Join(f.Config.Root, f.ID("p"), "rootfs", "etc", "version"))
	assert.NilError(t, err)
	assert.Equal(t, string(version), "v2")
	_, err = os.Stat(filepath.Join(f.Config.Root, f.ID("p"), "propagated-mount", "volume"))
	assert.NilError(t, err)
	f.CheckBut(socketsMayBeLeft, "upgraded")
	assert.NilError(t, f.Remove("on", forced))
	f.install("new")
	f.CheckBut(socketsMayBeLeft, "removed")
	f.restart()
	assert.Equal(t, f.state(), `new:latest false [DEBUG=0] "new"`+"\n"+`p:latest false [DEBUG=1] "v2"`)
	assert.NilError(t, f.Remove("p", nil))
	assert.NilError(t, f.Remove("new", nil))
	f.Check("all is removed")
	assert.Equal(t, len(f.Blobs()), 0)
}

// TestTmpOnAnotherFileSystem installs where tmp is a mount.
func TestTmpOnAnotherFileSystem(t *testing.T) {
	f := unstarted(t)
	tmp := filepath.Join(f.Config.Root, "tmp")
	assert.NilError(t, os.Mkdir(tmp, 0o700))
	mountAt(t, "none", tmp, "tmpfs", 0, "")
	assert.NilError(t, f.boot())
	assert.NilError(t, f.pullVersion("v1"))
	assert.NilError(t, f.upgrade(f.repository+"v2", "p", f.privileges()))
	f.install("made")
	assert.NilError(t, f.Remove("p", nil))
	f.restart()
	assert.Equal(t, f.state(), `made:latest false [DEBUG=0] "made"`)
	f.Check("with a tmp that is a mount")
}

// TestReadOnlyDirectories: NewManager refuses a read-only root or directory of
// sockets with the reason, and succeeds once the directory is writable.
func TestReadOnlyDirectories(t *testing.T) {
	for says, directory := range map[string]func(w *world) string{
		"use plugin root":          func(w *world) string { return w.Config.Root },
		"use content store":        func(w *world) string { return filepath.Join(w.Config.Root, "storage") },
		"use directory of sockets": func(w *world) string { return w.Config.ExecRoot },
	} {
		t.Run(says, func(t *testing.T) {
			w := newWorld(t).start()
			w.Create("p")
			w.Shutdown()
			dir := directory(w)
			mountAt(t, dir, dir, "", unix.MS_BIND, "")
			assert.NilError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			_, err := plugin.NewManager(w.Config)
			assert.Check(t, is.ErrorIs(err, unix.EROFS))
			assert.ErrorContains(t, err, says+" "+dir)
			assert.NilError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
			w.start()
			w.Check("it can be written to")
		})
	}
}

// TestStorageInTwoParts: NewManager refuses a content store on two file systems,
// because no blob could be committed.
func TestStorageInTwoParts(t *testing.T) {
	w := newWorld(t).start()
	w.Shutdown()
	mountAt(t, "none", filepath.Join(w.Config.Root, "storage", "ingest"), "tmpfs", 0, "")
	_, err := plugin.NewManager(w.Config)
	assert.ErrorContains(t, err, "mount "+filepath.Join(w.Config.Root, "storage")+" as a whole")
}

// TestRootBehindLink measures and prunes a root behind a link. Mounts below it are
// neither measured nor pruned.
func TestRootBehindLink(t *testing.T) {
	w := newWorld(t)
	real := w.Config.Root
	w.Config.Root = filepath.Join(t.TempDir(), "link")
	assert.NilError(t, os.Symlink(real, w.Config.Root))
	w.start()
	w.Create("p")
	assert.NilError(t, w.CreateConfig("big", settable("big")))
	data := filepath.Join(w.Config.Root, w.ID("big"), "propagated-mount")
	assert.NilError(t, os.MkdirAll(filepath.Join(data, "share"), 0o700))
	mountAt(t, "none", filepath.Join(data, "share"), "tmpfs", 0, "")
	assert.NilError(t, os.WriteFile(filepath.Join(data, "share", "foreign"), make([]byte, 1<<20), 0o600))
	usage, err := w.DiskUsage(t.Context())
	assert.NilError(t, err)
	assert.Equal(t, usage.Plugins[0].Name, "big:latest")
	assert.Check(t, usage.Plugins[0].Data < 1<<20, "a mount is counted: %+v", usage.Plugins[0])
	w.litterLive()
	busy := filepath.Join(w.Config.Root, "tmp", "a stage", "busy")
	assert.NilError(t, os.Mkdir(busy, 0o700))
	mountAt(t, "none", busy, "tmpfs", 0, "")
	assert.NilError(t, os.WriteFile(filepath.Join(busy, "foreign"), nil, 0o600))
	deleted, err := w.Prune(t.Context())
	assert.ErrorContains(t, err, "is mounted below it")
	assert.Equal(t, deleted.Leftovers.Count, 1)
	_, err = os.Stat(filepath.Join(busy, "foreign"))
	assert.NilError(t, err, "a mount was pruned")
}
