// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestRestartStartsEnabledPlugins(t *testing.T) {
	w := newWorld(t).start()
	on := w.Create("on")
	off := w.Create("off")
	w.MustEnable(on)
	w.restart()
	assert.Check(t, w.Enabled(on) && w.Alive(on))
	assert.Check(t, !w.Enabled(off) && !w.Alive(off))
	assert.Equal(t, w.Executor.Started(on), 2)
}

func TestLiveRestore(t *testing.T) {
	w := newWorld(t)
	w.Config.LiveRestoreEnabled = true
	w.start()
	id := w.Create("lives")
	w.MustEnable(id)
	w.restart()
	assert.Check(t, w.Enabled(id) && w.Alive(id))
	assert.Equal(t, w.Executor.Started(id), 1)

	w.Config.LiveRestoreEnabled = false
	w.restart()
	assert.Check(t, w.Enabled(id) && w.Alive(id))
	assert.Equal(t, w.Executor.Started(id), 2, "a stray was taken over")
	assert.NilError(t, w.Disable(id, nil))
}

// TestLiveRestoreReattaches calls a plugin that outlived its daemon, reads its
// output, and crashes it: the plugin is restarted.
func TestLiveRestoreReattaches(t *testing.T) {
	w := newWorld(t)
	w.Config.LiveRestoreEnabled = true
	lines := make(chan string)
	w.Executor.Choose = func(id string, _ int, _ specs.Spec) plugintest.Behaviour {
		if id == w.ID("writes") {
			return writer(lines)
		}
		return plugintest.Behaviour{}
	}
	w.start()
	answers, writes := w.Create("answers"), w.Create("writes")
	w.MustEnable(answers)
	w.MustEnable(writes)
	lines <- "before"
	w.Shutdown()
	lines <- "between"
	w.start()
	lines <- "after"
	lines <- "the last was read"
	assert.DeepEqual(t, w.MustLogs(writes, plugin.LogOptions{})[:3], []string{"stdout before", "stdout between", "stdout after"})

	p, err := w.Get(answers)
	assert.NilError(t, err)
	var manifest plugins.Manifest
	assert.NilError(t, p.Client().Call("Plugin.Activate", nil, &manifest))
	assert.DeepEqual(t, manifest.Implements, []string{"VolumeDriver"})

	events, cancel := w.SubscribeEvents(10, plugin.EventRestarted{})
	defer cancel()
	assert.NilError(t, w.Executor.Exit(answers, 1))
	assert.Equal(t, (<-events).(plugin.EventRestarted).Plugin.ID, answers)
	assert.Equal(t, w.Executor.Started(answers), 2)
	assert.Equal(t, w.Executor.Started(writes), 1)
}

// TestCrash makes a new manager without shutting the old one down, as
// embedders' tests simulate a crash of the daemon.
func TestCrash(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	w.MustEnable(id)
	crashed := w.Manager
	assert.NilError(t, w.Executor.Close())
	w.start()
	assert.Check(t, w.Enabled(id) && w.Alive(id))
	assert.Equal(t, w.Executor.Started(id), 2)

	var fenced *plugin.FencedError
	assert.Check(t, errors.As(crashed.Disable(id, nil), &fenced))
	assert.Check(t, errors.As(crashed.Remove(id, nil), &fenced))
	assert.Check(t, w.Alive(id))
	assert.NilError(t, w.Disable(id, nil))
	crashed.Shutdown()
	w.Create("still-mine")
}

func TestStartThatFailsAtBootIsRetried(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("late")
	w.MustEnable(id)
	w.Shutdown()
	up := make(chan struct{})
	w.Executor.Choose = func(_ string, earlier int, _ specs.Spec) plugintest.Behaviour {
		if earlier < 4 {
			return plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 1}}
		}
		close(up)
		return plugintest.Behaviour{}
	}
	w.start()
	assert.Check(t, w.Enabled(id), "the desired state changed")
	<-up
	assert.NilError(t, w.Disable(id, nil))
}

func TestBrokenRecordHidesNoOther(t *testing.T) {
	w := newWorld(t).start()
	broken := w.Create("broken")
	fine := w.Create("fine")
	blobs := w.Blobs()
	w.Shutdown()
	record := filepath.Join(w.Config.Root, broken, "config.json")
	assert.NilError(t, os.WriteFile(record, []byte(`{"plugin":`), 0o600))
	w.start()
	w.MustEnable(fine)
	_, err := w.Inspect(broken)
	var unreadable *plugin.BrokenError
	assert.Assert(t, errors.As(err, &unreadable), "%v", err)
	assert.Check(t, errors.As(w.Enable(broken, nil), &unreadable))
	assert.Check(t, errors.As(w.Set(broken, nil), &unreadable))
	list, err := w.List(filters.NewArgs())
	assert.NilError(t, err)
	assert.Equal(t, len(list), 2)
	status, err := w.Status(broken[:20])
	assert.NilError(t, err)
	assert.Equal(t, status.State, "broken")

	w.GC()
	assert.DeepEqual(t, w.Blobs(), blobs)
	_, err = os.Stat(filepath.Join(w.Config.Root, broken, "rootfs", "plugin"))
	assert.NilError(t, err, "a broken plugin's files were deleted")

	assert.NilError(t, w.Remove(broken[:20], nil))
	_, err = os.Stat(filepath.Join(w.Config.Root, broken))
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
	list, err = w.List(filters.NewArgs())
	assert.NilError(t, err)
	assert.Equal(t, len(list), 1)
}

func TestBootWaitIsBounded(t *testing.T) {
	w := newWorld(t).start()
	ids := []string{w.Create("slow0", "docker.authz/1.0"), w.Create("slow1")}
	for _, id := range ids {
		w.MustEnable(id)
	}
	w.Shutdown()
	w.Executor.Behaviour = plugintest.Behaviour{NeverListens: true}
	w.Config.BootWait = time.Nanosecond
	w.start()
	assert.NilError(t, w.Disable(ids[0], nil), "a start at boot can be interrupted")
	assert.Check(t, !w.Enabled(ids[0]))
	assert.Check(t, w.Enabled(ids[1]))
}

// TestBootIsAsSlowAsTheSlowest boots plugins that listen only once all of them
// have a process. There are more plugins than processes are created concurrently.
func TestBootIsAsSlowAsTheSlowest(t *testing.T) {
	w := newWorld(t).start()
	for i := range 40 {
		w.MustEnable(w.Create(fmt.Sprint("slow", i)))
	}
	w.Shutdown()
	all := make(chan struct{})
	var made atomic.Int32
	w.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
		if made.Add(1) == 40 {
			close(all)
		}
		return plugintest.Behaviour{ListenAfter: all}
	}
	w.start()
	assert.Equal(t, len(w.Executor.Running()), 40)
	assert.Equal(t, made.Load(), int32(40), "a start was given up: it waited for others")
}

func TestVerbsAfterShutdown(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	w.Shutdown()
	w.Shutdown()
	var fenced *plugin.FencedError
	for _, verb := range []func() error{
		func() error { return w.Enable(id, nil) },
		func() error { return w.Disable(id, nil) },
		func() error { return w.Set(id, nil) },
		func() error { return w.Remove(id, nil) },
		func() error { return w.CreateConfig("x", plugintest.Config()) },
	} {
		err := verb()
		assert.Check(t, errors.As(err, &fenced), "%v", err)
	}
	w.GC()
	_, err := w.Inspect(id)
	assert.NilError(t, err, "reading is harmless")
}

func TestShutdownInterruptsStart(t *testing.T) {
	w := newWorld(t)
	started := make(chan struct{})
	w.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
		close(started)
		return plugintest.Behaviour{NeverListens: true}
	}
	w.start()
	id := w.Create("slow")
	result := make(chan error)
	go func() { result <- w.Enable(id, nil) }()
	<-started
	w.Shutdown()
	assert.Check(t, <-result != nil)
	running, err := w.Executor.IsRunning(id)
	assert.NilError(t, err)
	assert.Check(t, !running)
}

// TestSocketDirectoriesAreMadeAgain deletes the directories of sockets while a
// manager runs, as a cleanup of /run does. ExecRoot is short, or so long that
// sockets are reached by another path.
func TestSocketDirectoriesAreMadeAgain(t *testing.T) {
	for _, below := range []string{".", strings.Repeat("d", 60)} {
		t.Run(below, func(t *testing.T) {
			w := newWorld(t)
			w.Config.ExecRoot = filepath.Join(w.Config.ExecRoot, below)
			w.start()
			crashed, fresh := w.Create("crashed"), w.Create("fresh")
			w.MustEnable(crashed)
			restarted, cancel := w.SubscribeEvents(10, plugin.EventRestarted{})
			defer cancel()
			assert.NilError(t, os.RemoveAll(w.Config.ExecRoot))
			assert.NilError(t, w.Executor.Exit(crashed, 1))
			<-restarted
			assert.NilError(t, os.RemoveAll(w.Config.ExecRoot))
			w.MustEnable(fresh)
			p, err := w.Get(fresh)
			assert.NilError(t, err)
			connection, err := net.Dial(p.Addr().Network(), p.Addr().String())
			assert.NilError(t, err)
			assert.NilError(t, connection.Close())
			info, err := os.Stat(w.Config.ExecRoot)
			assert.NilError(t, err)
			assert.Equal(t, info.Mode().Perm(), os.FileMode(0o700))
		})
	}
}
