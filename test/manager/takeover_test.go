// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
)

// TestOlderManagerHarmsNothing ends a manager after a newer manager of the same
// process took its root over.
func TestOlderManagerHarmsNothing(t *testing.T) {
	f := newFaultyWorld(t)
	f.install("p")
	f.install("off")
	f.MustEnable("p")
	older := f.Manager
	f.start()
	assert.Check(t, f.Alive("p"))
	before := f.state()
	grants := f.privileges()
	for name, mutation := range map[string]func() error{
		"create": func() error {
			buildContext := plugintest.BuildContext(settable("q"), nil)
			return older.CreateFromContext(t.Context(), buildContext, &types.PluginCreateOptions{RepoName: "q"})
		},
		"pull": func() error {
			return older.Pull(t.Context(), testworld.Named(t, f.repository+"v1"), "q", nil, nil, grants, nil)
		},
		"upgrade": func() error {
			return older.Upgrade(t.Context(), testworld.Named(t, f.repository+"v1"), "off", nil, nil, grants, nil)
		},
		"set":     func() error { return older.Set("off", []string{"DEBUG=1"}) },
		"enable":  func() error { return older.Enable("off", nil) },
		"disable": func() error { return older.Disable("p", nil) },
		"remove":  func() error { return older.Remove("p", forced) },
		"prune":   func() error { _, err := older.Prune(t.Context()); return err },
	} {
		var fenced *plugin.FencedError
		err := mutation()
		assert.Check(t, errors.As(err, &fenced), "%s: %v", name, err)
	}
	// The older manager's supervisor gets the exit report, and must start no process.
	assert.Check(t, older.HandleExitEvent(f.ID("p")))
	older.GC()
	older.Shutdown()
	assert.Check(t, f.Alive("p"), "the older manager stopped the newer one's run")
	assert.Equal(t, f.state(), before)
	mounted, err := mountinfo.Mounted(f.Config.Root + "/" + f.ID("p") + "/propagated-mount")
	assert.NilError(t, err)
	assert.Check(t, mounted, "the older manager unmounted the newer one's data")
	f.Check("the older manager ended")
}

// TestTakeoverDuringPull starts a newer manager while an older manager of the same
// process waits for a layer.
func TestTakeoverDuringPull(t *testing.T) {
	f := newFaultyWorld(t)
	f.privileges()
	goOn := make(chan struct{})
	hold, reached := holdFirst(goOn)
	f.registry.Inject(http.MethodGet, "/blobs/", 1, hold)
	older := f.Manager
	pulled := make(chan error)
	go func() {
		pulled <- older.Pull(context.Background(), testworld.Named(t, f.repository+"v1"), "p", nil, nil, f.grants, nil)
	}()
	<-reached
	assert.NilError(t, f.boot())
	close(goOn)
	var fenced *plugin.FencedError
	err := <-pulled
	assert.Check(t, errors.As(err, &fenced), "%v", err)
	older.Shutdown()
	assert.Equal(t, f.state(), "")
	f.Check("an older manager was pulling")
	assert.NilError(t, f.pullVersion("v1"))
	f.Check("pulled by the newer manager")
}

// TestRootOnItsOwnDisk ends a manager with a root and a storage directory that are
// mount points.
func TestRootOnItsOwnDisk(t *testing.T) {
	testenv.NeedsRoot(t, "mounting")
	w := newWorld(t)
	for _, dir := range []string{w.Config.Root, w.Config.Root + "/storage"} {
		assert.NilError(t, os.MkdirAll(dir, 0o700))
		assert.NilError(t, unix.Mount("none", dir, "tmpfs", 0, ""))
		defer func() { assert.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	}
	w.start()
	assert.NilError(t, w.CreateConfig("p", settable("p")))
	w.MustEnable("p")
	w.Shutdown()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(w.Config.Root))
	assert.NilError(t, err)
	assert.Equal(t, len(mounts), 2, "%v", mounts)
	w.start()
	assert.Check(t, w.Alive("p"))
	assert.NilError(t, w.Remove("p", forced))
	w.Check("removed")
	w.Shutdown()
}

// TestMain also runs as a second daemon on a root in use, and as a daemon with a
// proxy in its environment.
func TestMain(m *testing.M) {
	if ref := os.Getenv("PLUGIN_TEST_PULL"); ref != "" {
		os.Stdout.WriteString(pullAsConfigured(ref))
		return
	}
	root := os.Getenv("PLUGIN_TEST_SECOND_DAEMON")
	if root == "" {
		os.Exit(m.Run())
	}
	_, err := plugin.NewManager(plugin.ManagerConfig{
		Root: root, ExecRoot: root + "-exec",
		CreateExecutor: func(*plugin.Manager) (plugin.Executor, error) {
			os.Stdout.WriteString("made an executor and ")
			return nil, nil
		},
	})
	var inUse *plugin.RootInUseError
	switch {
	case err == nil:
		os.Stdout.WriteString("opened")
	case errors.As(err, &inUse) && inUse.Root == root:
		os.Stdout.WriteString("refused")
	default:
		os.Stdout.WriteString(err.Error())
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	w := newWorld(t).start()
	w.Create("p")
	w.MustEnable("p")
	w.putFile("a stage of the first", "tmp", "stage", "file")
	assert.Equal(t, secondDaemon(t, w.Config.Root), "refused")
	_, err := os.Stat(w.Config.Root + "/tmp/stage/file")
	assert.NilError(t, err, "the second daemon swept a stage of the first")
	_, err = os.Stat(w.Config.Root + "-exec")
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.NilError(t, os.RemoveAll(w.Config.Root+"/tmp/stage"))
	w.Check("a second daemon was refused")
	w.restart()
	w.CheckBut(plugintest.RootCheck{}, "restarted")

	w.Shutdown()
	assert.Equal(t, secondDaemon(t, w.Config.Root), "made an executor and opened")
	assert.NilError(t, os.RemoveAll(w.Config.Root+"-exec"))
}

// secondDaemon starts another process on root, and returns its output.
func secondDaemon(t *testing.T, root string) string {
	t.Helper()
	second := exec.Command(os.Args[0])
	second.Env = append(os.Environ(), "PLUGIN_TEST_SECOND_DAEMON="+root)
	output, err := second.Output()
	assert.NilError(t, err, "%s", output)
	return string(output)
}

// TestFailedNewManagerLeavesTheStoreAlone makes a second manager on the Store of the
// first, with another hardening. It fails at each step on its files, and at its
// executor.
func TestFailedNewManagerLeavesTheStoreAlone(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	other := w.Config
	other.ExecRoot = filepath.Join(w.Config.ExecRoot, "other")
	other.Hardening = plugin.Hardening{Pids: 7}
	for step, failed := 0, true; failed; step++ {
		other.Root = t.TempDir()
		calls := 0
		files := durable.Default
		files.Fault = func(durable.Step) error {
			if calls++; calls-1 == step {
				return errFault
			}
			return nil
		}
		other.CreateExecutor = func(*plugin.Manager) (plugin.Executor, error) {
			if failed = calls > step; failed {
				return nil, nil
			}
			return nil, errFault // after the last step on files
		}
		pm, err := testworld.NewManagerOn(other, &files)
		if err == nil {
			// The manager tolerated the failed step. It owns the Store.
			pm.Shutdown()
			w.restart()
			continue
		}
		w.MustEnable(id)
		specs := w.Executor.Specs(id)
		limits := specs[len(specs)-1].Linux.Resources.Pids
		assert.Check(t, limits == nil, "step %d: the hardening of the failed manager applies", step)
		assert.NilError(t, w.Disable(id, nil))
	}
}
