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

// TestInstallOnExhaustedDisk installs a plugin on a disk that promises more than
// there is, as thin pools do. Another program syncs the disk as the last file is
// unpacked, is told that writes were lost, and makes room. The install fails: what
// was lost is nowhere but in memory. The next one succeeds, and is whole when the
// disk was mounted again. The manager sees the disk itself, or through a file system
// that does not report what was lost by the one below.
func TestInstallOnExhaustedDisk(t *testing.T) {
	needRoot(t)
	for _, over := range []struct {
		name string
		// mount shows the disk at dir on top, and returns where it is below.
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
	reserve(t, image, 30<<20) // the disk keeps what describes the files
	mount(t, image, dir, "loop,errors=continue")
	t.Cleanup(func() { unmount(t, dir) })
	top := filepath.Join(t.TempDir(), "top")
	assert.NilError(t, os.Mkdir(top, 0o700))
	shown := show(t, dir, top)
	t.Cleanup(func() { unmount(t, top) })
	ballast := filepath.Join(below, "ballast")
	assert.NilError(t, os.WriteFile(ballast, make([]byte, 100<<20), 0o600))
	other, err := os.Open(dir)
	assert.NilError(t, err)
	defer other.Close()

	pm := newManager(t, top)
	lossy := func() {
		assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")
		assert.Check(t, os.Remove(ballast))
	}
	err = create(t, pm, "lost", lossy)
	assert.Check(t, errdefs.IsSystem(err), "data was lost, and the install was acknowledged: %v", err)
	assert.NilError(t, create(t, pm, "whole", func() {}))
	p, err := pm.Get("whole")
	assert.NilError(t, err)

	// What is not on the disk is not in a copy of it.
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

// reserve makes a thin disk hold its first bytes.
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
	execRoot, err := os.MkdirTemp("", "dt") // a socket path must be short
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

// create makes a plugin, and calls unpacked when its files are written and
// nothing is acknowledged.
func create(t *testing.T, pm *plugin.Manager, name string, unpacked func()) error {
	t.Helper()
	files := plugintest.BuildContext(plugintest.Config("docker.volumedriver/1.0"), map[string]string{"content": content()})
	// More padding than a reader is ahead of what is unpacked.
	padding := bytes.NewReader(make([]byte, 8<<20))
	source := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(files, padding, &atEnd{unpacked}), files}
	return pm.CreateFromContext(t.Context(), source, &types.PluginCreateOptions{RepoName: name})
}

// atEnd is read when all before it was.
type atEnd struct{ call func() }

func (a *atEnd) Read([]byte) (int, error) {
	a.call()
	a.call = func() {}
	return 0, io.EOF
}

// content is a large file whose layer is small.
func content() string {
	block := make([]byte, 4<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range block {
		block[i] = byte(random.Uint32())
	}
	return string(bytes.Repeat(block, 40<<20/len(block)))
}
