// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/plugintest"
)

func TestStory(t *testing.T) {
	w := newWorld(t).start()
	ch, cancel := w.SubscribeEvents(10)
	defer cancel()

	id := w.Create("dovetail/story", "docker.volumedriver/1.0")
	p, err := w.Inspect(id[:12])
	assert.NilError(t, err)
	assert.Equal(t, p.Name, "dovetail/story:latest")
	assert.Equal(t, p.PluginReference, "dovetail/story:latest")
	assert.Check(t, !p.Enabled)
	content, err := os.ReadFile(filepath.Join(w.Config.Root, id, "rootfs", "etc", "name"))
	assert.NilError(t, err)
	assert.Equal(t, string(content), "dovetail/story")

	w.MustEnable("dovetail/story")
	assert.Check(t, w.Enabled(id))
	assert.Check(t, w.Alive(id))
	got, err := w.Config.Store.Get("dovetail/story", "VolumeDriver", plugingetter.Acquire)
	assert.NilError(t, err)
	var manifest plugins.Manifest
	assert.NilError(t, got.Client().Call("Plugin.Activate", nil, &manifest))
	assert.DeepEqual(t, manifest.Implements, []string{"VolumeDriver"})

	err = w.Disable(id, &backend.PluginDisableConfig{})
	var inUse *plugin.InUseError
	assert.Assert(t, errors.As(err, &inUse), "%v", err)
	assert.Equal(t, inUse.References, 1)
	assert.Check(t, w.Enabled(id))
	got.(plugingetter.CountedPlugin).Release()

	assert.NilError(t, w.Disable(id, nil))
	assert.Check(t, !w.Alive(id))
	_, err = os.Stat(filepath.Join(w.Config.ExecRoot, id))
	assert.Check(t, is.ErrorIs(err, os.ErrNotExist), "sockets are left")
	assert.NilError(t, w.Remove(id, nil))
	_, err = w.Inspect(id)
	assert.Check(t, errdefs.IsNotFound(err))

	w.GC()
	assert.Equal(t, len(w.Blobs()), 0)
	assert.DeepEqual(t, w.Actions(), []string{
		"create dovetail/story:latest", "enable dovetail/story:latest",
		"disable dovetail/story:latest", "remove dovetail/story:latest",
	})
	for _, want := range []any{plugin.EventCreate{}, plugin.EventEnable{}, plugin.EventDisable{}, plugin.EventRemove{}} {
		assert.Equal(t, reflect.TypeOf(<-ch), reflect.TypeOf(want))
	}
}

func TestConfigIsValidated(t *testing.T) {
	_, err := plugin.NewManager(plugin.ManagerConfig{StopTimeout: -1})
	var invalid *plugin.ConfigError
	assert.Assert(t, errors.As(err, &invalid), "%v", err)
	for _, name := range []string{"Root", "ExecRoot", "CreateExecutor", "timeout"} {
		assert.Check(t, is.ErrorContains(err, name))
	}
	assert.Check(t, errdefs.IsInvalidArgument(err))
}

func TestExecutorIsMadeBeforeRecordsAreLoaded(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("early")
	w.Shutdown()
	config := w.Config
	config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		assert.Check(t, is.ErrorType(pm.HandleExitEvent(id), &plugin.NotFoundError{}))
		return nil, nil
	}
	pm, err := plugin.NewManager(config)
	assert.NilError(t, err)
	defer pm.Shutdown()
	err = pm.Enable(id, nil)
	var unsupported *plugin.UnsupportedError
	assert.Assert(t, errors.As(err, &unsupported), "%v", err)
	assert.NilError(t, pm.Remove(id, nil), "a manager without executor can do the rest")
}

func TestFailedNewManagerReleasesRoot(t *testing.T) {
	w := newWorld(t)
	config := w.Config
	config.CreateExecutor = func(*plugin.Manager) (plugin.Executor, error) {
		var none *plugintest.Executor // a nil pointer, which many constructors return with an error
		return none, errors.New("no runtime")
	}
	_, err := plugin.NewManager(config)
	assert.Check(t, is.ErrorContains(err, "no runtime"))
	w.start()
}

func TestSettingsOutliveTheDaemon(t *testing.T) {
	w := newWorld(t).start()
	config := plugintest.Config("docker.volumedriver/1.0")
	value := "off"
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	config.Args = types.PluginConfigArgs{Name: "args", Settable: []string{"value"}, Value: []string{"-v"}}
	assert.NilError(t, w.CreateConfig("settings", config))

	err := w.Set("settings", []string{"DEBUG=on", "UNKNOWN=1"})
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	p, err := w.Inspect("settings")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Settings.Env, []string{"DEBUG=off"})

	assert.NilError(t, w.Set("settings", []string{"DEBUG=on", `args=--name "two words"`}))
	w.restart()
	p, err = w.Inspect("settings")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Settings.Env, []string{"DEBUG=on"})
	assert.Equal(t, *p.Config.Env[0].Value, "off")
	w.MustEnable("settings")
	spec := w.Executor.Specs(p.ID)[0]
	assert.DeepEqual(t, spec.Process.Args, []string{"/plugin", "--name", "two words"})
	assert.Check(t, is.Contains(spec.Process.Env, "DEBUG=on"))

	var enabled *plugin.EnabledError
	assert.Check(t, errors.As(w.Set("settings", []string{"DEBUG=off"}), &enabled))
	live, err := w.Get("settings")
	assert.NilError(t, err)
	assert.Equal(t, live.Timeout(), 30*time.Second)
	w.restart()
	live, err = w.Get("settings")
	assert.NilError(t, err)
	assert.Equal(t, live.Timeout(), 30*time.Second, "the timeout of calls was forgotten")
}

func TestCreateRefusals(t *testing.T) {
	w := newWorld(t).start()
	w.Create("taken")
	before := w.Tree()
	noConfig := plugintest.BuildContext(types.PluginConfig{}, nil)
	for _, tc := range []struct {
		name, repo string
		context    string
		conflict   bool
		want       string
	}{
		{"duplicate name", "taken:latest", "", true, `plugin taken:latest already exists`},
		{"canonical reference", "x@sha256:" + strings.Repeat("0", 64), "", false, "digest"},
		{"no name", "", "", false, "invalid plugin name"},
		{"bad name", "UPPER", "", false, "invalid plugin name"},
		{"not an archive", "x", "this is not an archive, and long enough to be read as one " + strings.Repeat("x", 512), false, ""},
		{"empty", "x", " ", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			source := noConfig
			if tc.context != "" {
				source = readCloser(tc.context)
			}
			err := w.CreateFromContext(context.Background(), source, &types.PluginCreateOptions{RepoName: tc.repo})
			assert.Check(t, is.ErrorContains(err, tc.want))
			if tc.conflict {
				assert.Check(t, errdefs.IsConflict(err), "%v", err)
			} else {
				assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
			}
			w.GC()
			assert.DeepEqual(t, w.Tree(), before)
		})
	}
	for _, change := range []func(c *types.PluginConfig){
		func(c *types.PluginConfig) { c.Description = "a\x1b[2K" },
		func(c *types.PluginConfig) { c.Mounts = []types.PluginMount{{Destination: "/d", Type: "devtmpfs"}} },
		func(c *types.PluginConfig) { c.Linux.Capabilities = make([]string, 1<<13) },
	} {
		config := plugintest.Config()
		change(&config)
		err := w.CreateConfig("x", config)
		assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
		w.GC()
		assert.DeepEqual(t, w.Tree(), before)
	}
}

func readCloser(text string) *closeCounter { return &closeCounter{Reader: strings.NewReader(text)} }

type closeCounter struct {
	*strings.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func TestCreateIsDeterministicAndShares(t *testing.T) {
	w := newWorld(t).start()
	config := plugintest.Config("docker.volumedriver/1.0")
	create := func(name string) {
		source := plugintest.BuildContext(config, map[string]string{"plugin": strings.Repeat("same", 1<<18)})
		assert.NilError(t, w.CreateFromContext(context.Background(), source, &types.PluginCreateOptions{RepoName: name}))
	}
	create("one")
	blobs := w.Blobs()
	assert.Equal(t, len(blobs), 3)
	create("two")
	assert.DeepEqual(t, w.Blobs(), blobs)
	one, err := w.Get("one")
	assert.NilError(t, err)
	two, err := w.Get("two")
	assert.NilError(t, err)
	assert.Equal(t, one.Manifest, two.Manifest)
	assert.NilError(t, w.Remove("one", nil))
	w.GC()
	assert.DeepEqual(t, w.Blobs(), blobs)
}

func TestCreateEndsWithItsContext(t *testing.T) {
	w := newWorld(t).start()
	before := w.Tree()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := w.CreateFromContext(ctx, plugintest.BuildContext(plugintest.Config(), nil), &types.PluginCreateOptions{RepoName: "x"})
	assert.Check(t, is.ErrorIs(err, context.Canceled))
	w.GC()
	assert.DeepEqual(t, w.Tree(), before)
}

// silentBody is a build context from a client that stops sending after a part.
// Like a body of net/http, it closes only when no Read is in progress.
type silentBody struct {
	part    io.Reader
	reading chan struct{} // closed when it waits for the client
	answer  chan struct{}
	mu      sync.Mutex
	closed  chan struct{}
}

func (b *silentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, err := b.part.Read(p); err == nil {
		return n, nil
	}
	close(b.reading)
	<-b.answer
	return 0, io.ErrUnexpectedEOF
}

func (b *silentBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.closed)
	return nil
}

// TestCreateEndsAlthoughItsClientIsSilent cancels creates, and shuts the manager
// down, while the client sends nothing: before the first byte and in the middle.
func TestCreateEndsAlthoughItsClientIsSilent(t *testing.T) {
	whole, err := io.ReadAll(plugintest.BuildContext(plugintest.Config(), map[string]string{"plugin": strings.Repeat("x", 1<<20)}))
	assert.NilError(t, err)
	for _, sent := range []int{0, 1, 700, len(whole) / 2} {
		for _, shutdown := range []bool{false, true} {
			w := newWorld(t).start()
			before := w.Tree()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			body := &silentBody{
				part: bytes.NewReader(whole[:sent]), reading: make(chan struct{}), answer: make(chan struct{}), closed: make(chan struct{}),
			}
			result := make(chan error)
			go func() { result <- w.CreateFromContext(ctx, body, &types.PluginCreateOptions{RepoName: "x"}) }()
			<-body.reading
			var fenced *plugin.FencedError
			if shutdown {
				w.Shutdown()
				assert.Check(t, errors.As(<-result, &fenced))
				w.start() // sweeps the leftovers of the interrupted verb
			} else {
				cancel()
				assert.Check(t, is.ErrorIs(<-result, context.Canceled))
			}
			w.GC()
			w.Shutdown()
			assert.Check(t, is.DeepEqual(w.Tree(), before))
			close(body.answer)
			<-body.closed
		}
	}
}

func TestStartErrorsQuoteThePlugin(t *testing.T) {
	for _, tc := range []struct {
		name      string
		behaviour plugintest.Behaviour
		phase     plugin.StartPhase
		want      []string
	}{
		{"refused", plugintest.Behaviour{CreateError: errors.New("exec format error")}, plugin.PhaseCreate, []string{"exec format error"}},
		{"exits", plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 3, Stderr: "no\nsuch database\n"}}, plugin.PhaseStart,
			[]string{`start plugin "broken:latest"`, "exited with code 3", "no\nsuch database"}},
		{"killed", plugintest.Behaviour{EndsAtOnce: &plugintest.Ending{Code: 137, OOMKilled: true}}, plugin.PhaseStart,
			[]string{"signal: killed", "OOM killer"}},
		{"never listens", plugintest.Behaviour{NeverListens: true}, plugin.PhaseReady, []string{`socket "plugin.sock"`}},
		{"wrong socket", plugintest.Behaviour{Socket: "other.sock"}, plugin.PhaseReady, []string{"other.sock"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.phase == plugin.PhaseReady {
				w.Config.StartTimeout = 2 * time.Second
			}
			w.start()
			id := w.Create("broken")
			w.Executor.Behaviour = tc.behaviour
			err := w.Enable(id, nil)
			var start *plugin.StartError
			assert.Assert(t, errors.As(err, &start), "%v", err)
			assert.Equal(t, start.Phase, tc.phase)
			assert.Check(t, errdefs.IsInternal(err), "%v", err)
			for _, want := range tc.want {
				assert.Check(t, is.ErrorContains(err, want))
			}
			assert.Check(t, !w.Enabled(id))
			assert.Check(t, !w.Alive(id))
			_, err = os.Stat(filepath.Join(w.Config.ExecRoot, id))
			assert.Check(t, is.ErrorIs(err, os.ErrNotExist))
			w.Executor.Behaviour = plugintest.Behaviour{}
			w.MustEnable(id)
		})
	}
}

func TestTwoEnablesStartOnce(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("once")
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() { results[i] = w.Enable(id, nil) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		var enabled *plugin.EnabledError
		if err == nil {
			won++
		} else {
			assert.Check(t, errors.As(err, &enabled), "%v", err)
		}
	}
	assert.Equal(t, won, 1)
	assert.Equal(t, w.Executor.Started(id), 1)
}

func TestDisableWins(t *testing.T) {
	t.Run("during a start", func(t *testing.T) {
		w := newWorld(t)
		started := make(chan struct{})
		w.Executor.Behaviour.NeverListens = true
		w.Executor.Choose = func(string, int, specs.Spec) plugintest.Behaviour {
			defer close(started)
			return plugintest.Behaviour{NeverListens: true}
		}
		w.start()
		id := w.Create("slow")
		result := make(chan error)
		go func() { result <- w.Enable(id, nil) }()
		<-started
		assert.NilError(t, w.Disable(id, nil))
		assert.Check(t, <-result != nil)
		assert.Check(t, !w.Enabled(id))
		assert.Check(t, !w.Alive(id))
	})
	t.Run("during a wait for a restart", func(t *testing.T) {
		w := newWorld(t)
		w.Config.Backoff = time.Hour
		w.start()
		id := w.Create("crashing")
		w.MustEnable(id)
		assert.NilError(t, w.Executor.Exit(id, 1))
		assert.NilError(t, w.Disable(id, nil))
		assert.Check(t, !w.Enabled(id))
		assert.Equal(t, w.Executor.Started(id), 1)
	})
}

func TestCrashIsFollowedByRestart(t *testing.T) {
	w := newWorld(t)
	restarted := make(chan string, 10)
	w.start()
	w.Config.Store.Handle("volumedriver", func(name string, client *plugins.Client) {
		assert.Check(t, client != nil)
		restarted <- name
	})
	id := w.Create("crashing", "docker.volumedriver/1.0")
	w.MustEnable(id)
	<-restarted
	for range 3 {
		assert.NilError(t, w.Executor.Exit(id, 1))
		assert.Equal(t, <-restarted, "crashing:latest")
		assert.Check(t, w.Enabled(id))
	}
	assert.Equal(t, w.Executor.Started(id), 4)
	for range 3 {
		w.Executor.Report(id) // late and duplicate
	}
	assert.NilError(t, w.Disable(id, nil))
	assert.Equal(t, w.Executor.Started(id), 4)
}

func TestRemove(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p", "docker.volumedriver/1.0")
	w.MustEnable(id)
	var enabled *plugin.EnabledError
	assert.Check(t, errors.As(w.Remove(id, nil), &enabled))
	live, err := w.Get(id)
	assert.NilError(t, err)
	live.Acquire()
	var inUse *plugin.InUseError
	assert.Check(t, errors.As(w.Remove(id, nil), &inUse))
	assert.Check(t, w.Alive(id))
	assert.NilError(t, w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}))
	running, err := w.Executor.IsRunning(id)
	assert.NilError(t, err)
	assert.Check(t, !running)
	for _, verb := range []func() error{
		func() error { return w.Remove(id, nil) },
		func() error { return w.Enable(id, nil) },
		func() error { return w.Disable(id, nil) },
		func() error { return w.Set(id, nil) },
		func() error { return w.HandleExitEvent(id) },
	} {
		assert.Check(t, is.ErrorType(verb(), &plugin.NotFoundError{}))
	}
	w.Create("p")
}

func TestInspectHandsOutCopies(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p", "docker.volumedriver/1.0")
	p, err := w.Inspect(id)
	assert.NilError(t, err)
	p.Config.Entrypoint[0] = "/bin/false"
	p.Config.Interface.Types[0].Capability = "authz"
	p, err = w.Inspect(id)
	assert.NilError(t, err)
	assert.Equal(t, p.Config.Entrypoint[0], "/plugin")
	assert.Equal(t, p.Config.Interface.Types[0].Capability, "volumedriver")
}

func TestNegativeTimeoutIsRefused(t *testing.T) {
	w := newWorld(t).start()
	id := w.Create("p")
	err := w.Enable(id, &backend.PluginEnableConfig{Timeout: -1})
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}

// TestLongExecRoot uses sockets with paths that are longer than a sockaddr_un
// holds. Callers reach the plugin by its address and by its client.
func TestLongExecRoot(t *testing.T) {
	w := newWorld(t)
	w.Config.ExecRoot = filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	w.start()
	id := w.Create("p", "docker.volumedriver/1.0")
	for range 2 {
		w.MustEnable(id)
		p, err := w.Config.Store.Get("p:latest", "VolumeDriver", plugingetter.Lookup)
		assert.NilError(t, err)
		addr := p.(plugingetter.PluginAddr).Addr()
		connection, err := net.Dial(addr.Network(), addr.String())
		assert.NilError(t, err)
		assert.NilError(t, connection.Close())
		var answer struct{ Implements []string }
		assert.NilError(t, p.Client().Call("Plugin.Activate", nil, &answer))
		assert.DeepEqual(t, answer.Implements, []string{"VolumeDriver"})
		assert.NilError(t, w.Disable(id, nil))
	}
	w.Check("with a long ExecRoot")

	config := plugintest.Config("docker.volumedriver/1.0")
	config.Interface.Socket = strings.Repeat("s", 100)
	assert.NilError(t, w.CreateConfig("longer", config))
	err := w.Enable("longer", nil)
	assert.Check(t, is.ErrorContains(err, "the system allows 107: shorten the directory or the name of the socket"))
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
}
