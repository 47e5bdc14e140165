//go:build linux

package plugin_test

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
	"github.com/dovetailhq/plugin/plugintest"
)

// TestOlderManagerHarmsNothing ends a manager whose root a newer one of the
// same process took over.
func TestOlderManagerHarmsNothing(t *testing.T) {
	f := newFaultyWorld(t)
	f.install("p")
	f.install("off")
	f.enable("p")
	older := f.Manager
	f.start()
	assert.Check(t, f.alive("p"))
	before := f.state()
	grants := f.granted()
	for name, mutation := range map[string]func() error{
		"create": func() error {
			buildContext := plugintest.BuildContext(settable("q"), nil)
			return older.CreateFromContext(t.Context(), buildContext, &types.PluginCreateOptions{RepoName: "q"})
		},
		"pull": func() error {
			return older.Pull(t.Context(), named(t, f.repository+"v1"), "q", nil, nil, grants, nil)
		},
		"upgrade": func() error {
			return older.Upgrade(t.Context(), named(t, f.repository+"v1"), "off", nil, nil, grants, nil)
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

// TestTakeoverDuringPull has a newer manager come while an older one of the
// same process waits for a layer.
func TestTakeoverDuringPull(t *testing.T) {
	f := newFaultyWorld(t)
	f.granted()
	reached, goOn := make(chan struct{}), make(chan struct{})
	f.registry.Inject(http.MethodGet, "/blobs/", 1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			close(reached)
			<-goOn
			next.ServeHTTP(w, request)
		})
	})
	older := f.Manager
	pulled := make(chan error)
	go func() {
		pulled <- older.Pull(context.Background(), named(t, f.repository+"v1"), "p", nil, nil, f.grants, nil)
	}()
	<-reached
	assert.NilError(t, f.boot())
	close(goOn)
	var fenced *plugin.FencedError
	err := <-pulled
	assert.Check(t, errors.As(err, &fenced), "%v", err)
	older.Shutdown()
	assert.Equal(t, f.state(), "")
	f.check("an older manager was pulling")
	assert.NilError(t, f.pullVersion("v1"))
	f.check("pulled by the newer manager")
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

// TestMain doubles as a second daemon that comes to a root in use, and as one
// whose environment names a proxy.
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
	w.create("p")
	w.enable("p")
	w.leave("a stage of the first", "tmp", "stage", "file")
	assert.Equal(t, secondDaemon(t, w.config.Root), "refused")
	_, err := os.Stat(w.config.Root + "/tmp/stage/file")
	assert.NilError(t, err, "the second daemon swept what the first was working on")
	_, err = os.Stat(w.config.Root + "-exec")
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	assert.NilError(t, os.RemoveAll(w.config.Root+"/tmp/stage"))
	w.check("a second daemon was refused")
	w.restart()
	w.checkBut(plugintest.RootCheck{}, "restarted")

	w.Shutdown()
	assert.Equal(t, secondDaemon(t, w.config.Root), "made an executor and opened")
	assert.NilError(t, os.RemoveAll(w.config.Root+"-exec"))
}

// secondDaemon starts another process on root, and returns what it says.
func secondDaemon(t *testing.T, root string) string {
	t.Helper()
	second := exec.Command(os.Args[0])
	second.Env = append(os.Environ(), "PLUGIN_TEST_SECOND_DAEMON="+root)
	output, err := second.Output()
	assert.NilError(t, err, "%s", output)
	return string(output)
}

// TestManagerThatCanNotBeMadeLeavesTheStoreAlone makes a second manager on the
// Store of a first one, with a hardening of its own. It fails at each step that
// it takes on its files, or with its executor.
func TestManagerThatCanNotBeMadeLeavesTheStoreAlone(t *testing.T) {
	w := newWorld(t).start()
	id := w.create("p")
	other := w.config
	other.ExecRoot = filepath.Join(w.config.ExecRoot, "other")
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
			return nil, errFault // no step is left to fail at
		}
		pm, err := plugin.NewManagerOn(other, &files)
		if err == nil {
			// What failed was no reason to give up. The store is that manager's.
			pm.Shutdown()
			w.restart()
			continue
		}
		w.enable(id)
		specs := w.executor.Specs(id)
		limits := specs[len(specs)-1].Linux.Resources.Pids
		assert.Check(t, limits == nil, "step %d: the hardening of a manager that was not made holds", step)
		assert.NilError(t, w.Disable(id, nil))
	}
}
