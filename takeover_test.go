//go:build linux

package plugin_test

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

// TestOlderManagerHarmsNothing ends a manager whose root a newer one of the
// same process took over.
func TestOlderManagerHarmsNothing(t *testing.T) {
	f := newFaultyWorld(t)
	f.install("p")
	f.enable("p")
	older := f.Manager
	f.start()
	assert.Check(t, f.alive("p"))
	before := f.state()
	var fenced *plugin.FencedError
	assert.Check(t, errors.As(older.Disable("p", nil), &fenced))
	// Its supervisor hears of the end of the older run, and must not start one.
	assert.Check(t, older.HandleExitEvent(f.id("p")))
	older.GC()
	older.Shutdown()
	assert.Check(t, f.alive("p"), "the older manager stopped the newer one's run")
	assert.Equal(t, f.state(), before)
	mounted, err := mountinfo.Mounted(f.config.Root + "/" + f.id("p") + "/propagated-mount")
	assert.NilError(t, err)
	assert.Check(t, mounted, "the older manager unmounted the newer one's data")
	f.check("the older manager ended")
}

// TestRootOnItsOwnDisk ends a manager whose root, and whose storage, somebody
// mounted.
func TestRootOnItsOwnDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	w := newWorld(t)
	for _, dir := range []string{w.config.Root, w.config.Root + "/storage"} {
		assert.NilError(t, os.MkdirAll(dir, 0o700))
		assert.NilError(t, unix.Mount("none", dir, "tmpfs", 0, ""))
		defer func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	}
	w.start()
	assert.NilError(t, w.createConfig("p", settable("p")))
	w.enable("p")
	w.Shutdown()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.config.Root))
	assert.NilError(t, err)
	assert.Equal(t, len(mounts), 2, "%v", mounts)
	w.start()
	assert.Check(t, w.alive("p"))
	assert.NilError(t, w.Remove("p", forced))
	w.check("removed")
	w.Shutdown()
}

// TestMain doubles as a second daemon that comes to a root in use.
func TestMain(m *testing.M) {
	root := os.Getenv("PLUGIN_TEST_SECOND_DAEMON")
	if root == "" {
		os.Exit(m.Run())
	}
	_, err := plugin.NewManager(plugin.ManagerConfig{
		Root: root, ExecRoot: root + "-exec",
		CreateExecutor: func(*plugin.Manager) (plugin.Executor, error) {
			panic("an executor was made for a root in use")
		},
	})
	var inUse *plugin.RootInUseError
	if !errors.As(err, &inUse) || inUse.Root != root {
		os.Stdout.WriteString("not refused: " + err.Error())
		os.Exit(1)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	w := newWorld(t).start()
	w.create("p")
	w.enable("p")
	w.leave("a stage of the first", "tmp", "stage", "file")
	second := exec.Command(os.Args[0])
	second.Env = append(os.Environ(), "PLUGIN_TEST_SECOND_DAEMON="+w.config.Root)
	output, err := second.CombinedOutput()
	assert.NilError(t, err, "%s", output)
	_, err = os.Stat(w.config.Root + "/tmp/stage/file")
	assert.NilError(t, err, "the second daemon swept what the first was working on")
	_, err = os.Stat(w.config.Root + "-exec")
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.NilError(t, os.RemoveAll(w.config.Root+"/tmp/stage"))
	w.check("a second daemon was refused")
	w.restart()
	w.checkBut(plugintest.RootCheck{}, "restarted")
}
