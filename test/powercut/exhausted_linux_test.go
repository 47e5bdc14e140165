package powercut

import (
	"bytes"
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
// disk was mounted again.
func TestInstallOnExhaustedDisk(t *testing.T) {
	needRoot(t)
	below := t.TempDir()
	assert.NilError(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=140m"))
	t.Cleanup(func() { unmount(t, below) })
	image, dir := filepath.Join(below, "disk.img"), filepath.Join(t.TempDir(), "disk")
	makeFileSystem(t, image, diskBytes, "mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard")
	reserve(t, image, 30<<20) // the disk keeps what describes the files
	mount(t, image, dir, "loop,errors=continue")
	ballast := filepath.Join(below, "ballast")
	assert.NilError(t, os.WriteFile(ballast, make([]byte, 85<<20), 0o600))
	other, err := os.Open(dir)
	assert.NilError(t, err)

	pm := newManager(t, dir)
	lossy := func() {
		assert.Check(t, unix.Syncfs(int(other.Fd())) != nil, "the disk lost nothing")
		assert.Check(t, os.Remove(ballast))
	}
	err = create(t, pm, "lost", lossy)
	assert.Check(t, errdefs.IsSystem(err), "data was lost, and the install was acknowledged: %v", err)
	assert.NilError(t, create(t, pm, "whole", func() {}))
	p, err := pm.Get("whole")
	assert.NilError(t, err)
	pm.Shutdown()

	assert.NilError(t, other.Close())
	assert.NilError(t, unix.Unmount(dir, 0))
	mount(t, image, dir, "loop,errors=continue")
	t.Cleanup(func() { unmount(t, dir) })
	data, err := os.ReadFile(filepath.Join(dir, "root", p.GetID(), "rootfs", "content"))
	assert.NilError(t, err)
	assert.Check(t, string(data) == content(), "the content was lost")
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
