// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/errdefs"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// TestInstallOnExhaustedDisk installs a plugin on a disk that promises more
// space than there is, as thin pools do. Another program syncs the disk when
// the last file is unpacked, gets the error of the lost writes, and makes room.
// The install fails, because the lost data is only in memory. The next install
// succeeds, and is complete after the disk is mounted again. The manager uses
// the disk directly, or through a file system that does not report the losses
// of the file system below.
func TestInstallOnExhaustedDisk(t *testing.T) {
	needRoot(t)
	for _, over := range []struct {
		name string
		// mount shows the disk at dir on top, and returns the disk's own
		// directory.
		mount func(t *testing.T, dir, top string) (below string)
	}{
		{"itself", mountBound},
		{"below overlayfs", mountOverlay},
		{"below FUSE", mountFuse},
	} {
		t.Run(over.name, func(t *testing.T) { installOnExhausted(t, over.mount) })
	}
}

func installOnExhausted(t *testing.T, show func(t *testing.T, dir, top string) string) {
	below := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=140m"))
	t.Cleanup(func() { unmount(t, below) })
	image, dir := filepath.Join(below, "disk.img"), filepath.Join(t.TempDir(), "disk")
	makeFileSystem(t, image, diskBytes, "mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard")
	reserve(t, image, 30<<20) // room for the file system's own data
	mount(t, image, dir, "loop,errors=continue")
	t.Cleanup(func() { unmount(t, dir) })
	top := filepath.Join(t.TempDir(), "top")
	assert.NilError(t, os.Mkdir(top, 0o700))
	shown := show(t, dir, top)
	t.Cleanup(func() { unmount(t, top) })
	other, err := os.Open(dir)
	assert.NilError(t, err)
	defer other.Close()

	pm := newManager(t, top)
	assert.NilError(t, unix.Syncfs(int(other.Fd()))) // the root itself is not what is lost
	ballast := fill(t, below, 4<<20)
	lossy := func() {
		assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")
		assert.Check(t, os.Remove(ballast))
	}
	err = create(t, pm, "lost", lossy)
	assert.Check(t, errdefs.IsSystem(err), "data was lost, and the install was acknowledged: %v", err)
	assert.NilError(t, create(t, pm, "whole", func() {}))
	p, err := pm.Get("whole")
	assert.NilError(t, err)

	// The copy has only what reached the disk.
	copied, again := filepath.Join(t.TempDir(), "disk.img"), filepath.Join(t.TempDir(), "again")
	call(t, "cp", "--sparse=always", image, copied)
	pm.Shutdown()
	mount(t, copied, again, "loop,errors=continue")
	t.Cleanup(func() { unmount(t, again) })
	root, err := filepath.Rel(dir, shown)
	assert.NilError(t, err)
	data, err := os.ReadFile(filepath.Join(again, root, "root", p.GetID(), "rootfs", "content"))
	assert.NilError(t, err)
	assert.Check(t, string(data) == content(), "the content was lost")
	record, err := os.ReadFile(filepath.Join(again, root, "root", p.GetID(), "config.json"))
	assert.NilError(t, err)
	assert.Check(t, len(record) > 0, "the record was lost")
}

func mountBound(t *testing.T, dir, top string) string {
	t.Helper()
	assert.NilError(t, unix.Mount(dir, top, "", unix.MS_BIND, ""))
	return dir
}

func mountOverlay(t *testing.T, dir, top string) string {
	t.Helper()
	options, upper := overlayOn(t, dir)
	assert.NilError(t, unix.Mount("overlay", top, "overlay", 0, options))
	return upper
}

func mountFuse(t *testing.T, dir, top string) string {
	t.Helper()
	options, upper := overlayOn(t, dir)
	call(t, "fuse-overlayfs", "-o", options, top)
	return upper
}

func overlayOn(t *testing.T, dir string) (options, upper string) {
	t.Helper()
	for _, sub := range []string{"lower", "upper", "work"} {
		assert.NilError(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	return fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir), filepath.Join(dir, "upper")
}

// fill writes a file that leaves so many bytes of the tmpfs at dir. The
// reserved start of the disk and these bytes together can't hold content,
// wherever ext4 puts it.
func fill(t *testing.T, dir string, free int) string {
	t.Helper()
	var usage unix.Statfs_t
	assert.NilError(t, unix.Statfs(dir, &usage))
	size := int(usage.Bavail)*int(usage.Bsize) - free
	assert.Assert(t, size > 0)
	ballast := filepath.Join(dir, "ballast")
	assert.NilError(t, os.WriteFile(ballast, make([]byte, size), 0o600))
	return ballast
}

// reserve allocates the first bytes of a thin disk.
func reserve(t *testing.T, image string, bytes int) {
	t.Helper()
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	assert.NilError(t, err)
	start := make([]byte, bytes)
	_, err = file.ReadAt(start, 0)
	assert.NilError(t, err)
	_, err = file.WriteAt(start, 0)
	assert.NilError(t, err)
	assert.NilError(t, file.Close())
}

func newManager(t *testing.T, dir string) *plugin.Manager {
	t.Helper()
	execRoot, err := os.MkdirTemp("", "dt") // a socket's path must be short
	assert.NilError(t, err)
	t.Cleanup(func() { assert.Check(t, os.RemoveAll(execRoot)) })
	pm, err := plugin.NewManager(plugin.ManagerConfig{
		Store:          plugin.NewStore(),
		Root:           filepath.Join(dir, "root"),
		ExecRoot:       execRoot,
		CreateExecutor: func(*plugin.Manager) (plugin.Executor, error) { return &plugintest.Executor{}, nil },
	})
	assert.NilError(t, err)
	t.Cleanup(pm.Shutdown)
	return pm
}

// create makes a plugin. It calls unpacked when the files are written, before
// anything is acknowledged.
func create(t *testing.T, pm *plugin.Manager, name string, unpacked func()) error {
	t.Helper()
	files := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), map[string]string{"content": content()})
	// More padding than a reader reads ahead of unpacking.
	padding := bytes.NewReader(make([]byte, 8<<20))
	source := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(files, padding, &atEnd{unpacked}), files}
	return pm.CreateFromContext(t.Context(), source, &types.PluginCreateOptions{RepoName: name})
}

// atEnd is a reader at the end of others: it calls call.
type atEnd struct{ call func() }

func (a *atEnd) Read([]byte) (int, error) {
	a.call()
	a.call = func() {}
	return 0, io.EOF
}

// content returns a large file that compresses well.
func content() string {
	block := make([]byte, 4<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range block {
		block[i] = byte(random.Uint32())
	}
	return string(bytes.Repeat(block, 40<<20/len(block)))
}
