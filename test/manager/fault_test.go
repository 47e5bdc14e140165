// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"
	"github.com/docker/docker/api/types/filters"
	dockererrdefs "github.com/docker/docker/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/testworld"
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

var errFault = errors.New("injected fault")

// faultyWorld is a world with file operations that fail while it is armed, and a
// registry with two versions of a plugin.
type faultyWorld struct {
	*world
	newest     *sharedExecutor // of the newest manager
	registry   *fake.Registry
	repository string
	grants     types.PluginPrivileges
	layout     string // the archive of a plugin
	files      durable.FS
	calls      atomic.Int64
	fails      atomic.Pointer[func(call int) bool] // nil while nothing fails
}

func newFaultyWorld(t *testing.T) *faultyWorld {
	t.Helper()
	f := unstarted(t)
	assert.NilError(t, f.boot())
	return f
}

// unstarted returns a world that has no manager yet.
func unstarted(t *testing.T) *faultyWorld {
	t.Helper()
	f := &faultyWorld{world: newWorld(t)}
	f.Config.CreateExecutor = f.shareExecutor
	f.Config.RegistryService = testworld.PlainHTTP{}
	f.registry = fake.New()
	f.repository = f.registry.Start(t) + "/group/plugin:"
	for _, version := range []string{"v1", "v2"} {
		putVersion(t, f.registry, version)
	}
	f.files.Fault = func(durable.Step) error {
		fails := f.fails.Load()
		if fails == nil || !(*fails)(int(f.calls.Add(1))-1) {
			return nil
		}
		return errFault
	}
	return f
}

// sharedExecutor is one manager's view of an executor that outlives it. The
// manager can't close the executor. After a crash it can start no process.
type sharedExecutor struct {
	plugin.Executor
	mu      sync.Mutex
	crashed bool
}

func (s *sharedExecutor) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return errors.Join(errFault, stdout.Close(), stderr.Close())
	}
	return s.Executor.Create(id, spec, stdout, stderr)
}

// Runs lists the processes, also those of disabled plugins, as the executors of
// this module do.
func (s *sharedExecutor) Runs() ([]string, error) { return s.Executor.(plugin.RunLister).Runs() }

func (s *sharedExecutor) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = true
}

func (f *faultyWorld) shareExecutor(pm *plugin.Manager) (plugin.Executor, error) {
	executor, err := f.CreateExecutor(pm)
	f.newest = &sharedExecutor{Executor: executor}
	return f.newest, err
}

// boot makes a manager that uses the failing files.
func (f *faultyWorld) boot() error {
	files := f.files
	pm, err := testworld.NewManagerOn(f.Config, &files)
	if err == nil {
		f.Manager = pm
	}
	return err
}

// arm makes the calls fail that chosen selects. Each step makes two calls: one
// before and one after it happens.
func (f *faultyWorld) arm(chosen func(call int) bool) {
	f.calls.Store(0)
	f.fails.Store(&chosen)
}

// disarm ends the failures, and returns how many calls there were.
func (f *faultyWorld) disarm() int {
	f.fails.Store(nil)
	return int(f.calls.Load())
}

// putVersion adds a plugin of two layers to a registry.
func putVersion(t *testing.T, r *fake.Registry, version string) {
	t.Helper()
	lower, upper := gzippedLayer(t, "plugin", "the same"), gzippedLayer(t, "etc/version", version)
	config := settable(version)
	config.Rootfs = &types.PluginConfigRootfs{Type: "layers", DiffIds: []string{lower.diffID, upper.diffID}}
	encoded, err := json.Marshal(config)
	assert.NilError(t, err)
	r.PutPlugin("group/plugin", version, encoded, lower.data, upper.data)
}

type packedLayer struct {
	data   []byte
	diffID string
}

// packedLayers keeps what gzippedLayer returned: hundreds of worlds have the same
// layers, and a compressor takes a megabyte.
var packedLayers sync.Map

func gzippedLayer(t *testing.T, name, content string) packedLayer {
	t.Helper()
	if known, ok := packedLayers.Load(name + "=" + content); ok {
		return known.(packedLayer)
	}
	layer := packLayer(t, name, content)
	packedLayers.Store(name+"="+content, layer)
	return layer
}

func packLayer(t *testing.T, name, content string) packedLayer {
	t.Helper()
	var archive, packed bytes.Buffer
	w := tar.NewWriter(&archive)
	assert.NilError(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}))
	_, err := io.WriteString(w, content)
	assert.NilError(t, err)
	assert.NilError(t, w.Close())
	compressor := gzip.NewWriter(&packed)
	_, err = compressor.Write(archive.Bytes())
	assert.NilError(t, err)
	assert.NilError(t, compressor.Close())
	return packedLayer{data: packed.Bytes(), diffID: digest.FromBytes(archive.Bytes()).String()}
}

// pullVersion installs p from the registry.
func (f *faultyWorld) pullVersion(version string) error {
	_, err := f.pull(f.repository+version, "p", f.privileges())
	return err
}

// privileges returns the privileges that all versions ask for.
func (f *faultyWorld) privileges() types.PluginPrivileges {
	if f.grants == nil {
		grants, err := f.Privileges(f.T.Context(), testworld.Named(f.T, f.repository+"v1"), nil, nil)
		assert.NilError(f.T, err)
		f.grants = grants
	}
	return f.grants
}

// state describes all plugins as List and Inspect show them.
func (w *world) state() string {
	w.T.Helper()
	list, err := w.List(filters.NewArgs())
	assert.NilError(w.T, err)
	lines := make([]string, len(list))
	for i, p := range list {
		lines[i] = fmt.Sprintf("%s %v %v %q", p.Name, p.Enabled, p.Settings.Env, p.Config.Description)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// socketsMayBeLeft ignores leftovers in ExecRoot. They are harmless, and the next
// start of the plugin or the manager deletes them.
var socketsMayBeLeft = plugintest.RootCheck{}

// settable returns a config with one variable that can be set.
func settable(description string) types.PluginConfig {
	config := plugintest.Config("docker.volumedriver/1.0")
	value := "0"
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	config.Description = description
	config.PropagatedMount = "/data"
	return config
}

var forced = &backend.PluginRmConfig{ForceRemove: true}

// verbs lists each verb once. Its world is the result of prepare.
var verbs = []struct {
	name    string
	prepare func(f *faultyWorld)
	do      func(f *faultyWorld) error
	after   string // the state after success; "same" if it does not change
}{
	{
		"create", func(*faultyWorld) {},
		func(f *faultyWorld) error { return f.CreateConfig("p", settable("one")) },
		`p:latest false [DEBUG=0] "one"`,
	},
	{
		"create from layout", func(f *faultyWorld) { f.layout, _ = buildLayout(f.T) },
		func(f *faultyWorld) error {
			return f.CreateFromLayout(f.T.Context(), f.layout, &types.PluginCreateOptions{RepoName: "p"})
		},
		`p:latest false [DEBUG=0] "one"`,
	},
	{
		"pull", func(f *faultyWorld) { f.privileges() },
		func(f *faultyWorld) error { return f.pullVersion("v1") },
		`p:latest false [DEBUG=0] "v1"`,
	},
	{
		"import", func(f *faultyWorld) {
			putOld(f.T, f.Config.Root, old{id: "b0b", name: "p", manifest: volumeManifest})
		},
		func(f *faultyWorld) error { return f.importRoot() },
		`p:latest false [DEBUG=0] "old"`,
	},
	{
		"upgrade", func(f *faultyWorld) {
			assert.NilError(f.T, f.pullVersion("v1"))
			assert.NilError(f.T, f.Set("p", []string{"DEBUG=1"}))
		},
		func(f *faultyWorld) error { return f.upgrade(f.repository+"v2", "p", f.privileges()) },
		`p:latest false [DEBUG=1] "v2"`,
	},
	{
		"upgrade from layout", func(f *faultyWorld) {
			assert.NilError(f.T, f.pullVersion("v1"))
			assert.NilError(f.T, f.Set("p", []string{"DEBUG=1"}))
			f.layout, _ = buildLayout(f.T)
		},
		func(f *faultyWorld) error { return f.UpgradeFromLayout(f.T.Context(), f.layout, "p") },
		`p:latest false [DEBUG=1] "one"`,
	},
	{
		"enable", func(f *faultyWorld) { f.install("p") },
		func(f *faultyWorld) error { return f.Enable("p", &backend.PluginEnableConfig{Timeout: 7}) },
		`p:latest true [DEBUG=0] "p"`,
	},
	{
		"disable", func(f *faultyWorld) { f.install("p"); f.MustEnable("p") },
		func(f *faultyWorld) error { return f.Disable("p", nil) },
		`p:latest false [DEBUG=0] "p"`,
	},
	{
		"set", func(f *faultyWorld) { f.install("p") },
		func(f *faultyWorld) error { return f.Set("p", []string{"DEBUG=1"}) },
		`p:latest false [DEBUG=1] "p"`,
	},
	{
		"remove", func(f *faultyWorld) { f.install("p") },
		func(f *faultyWorld) error { return f.Remove("p", nil) },
		"",
	},
	{
		"remove by force", func(f *faultyWorld) { f.install("p"); f.MustEnable("p") },
		func(f *faultyWorld) error { return f.Remove("p", forced) },
		"",
	},
	{
		"collect", func(f *faultyWorld) { f.install("p"); f.litter() },
		func(f *faultyWorld) error { f.GC(); return nil },
		"same",
	},
	{
		"prune", func(f *faultyWorld) { f.install("p"); f.litterLive() },
		func(f *faultyWorld) error { _, err := f.Prune(f.T.Context()); return err },
		"same",
	},
	{
		"boot", func(f *faultyWorld) { f.install("p"); f.install("off"); f.MustEnable("p"); f.Shutdown(); f.litter() },
		func(f *faultyWorld) error { return f.boot() },
		"same",
	},
}

func (f *faultyWorld) install(name string) {
	f.T.Helper()
	assert.NilError(f.T, f.CreateConfig(name, settable(name)))
}

// litter writes files like those that crashes leave.
func (f *faultyWorld) litter() {
	f.T.Helper()
	f.putFile("garbage", "storage", "blobs", "sha256", strings.Repeat("0", 64))
	f.putFile("", strings.Repeat("1", 64)+"-removing", "rootfs", "file")
}

// putFile writes a file below Root.
func (w *world) putFile(content string, elements ...string) {
	w.T.Helper()
	path := filepath.Join(append([]string{w.Config.Root}, elements...)...)
	assert.NilError(w.T, os.MkdirAll(filepath.Dir(path), 0o700))
	assert.NilError(w.T, os.WriteFile(path, []byte(content), 0o600))
}

// TestEveryStepCanFail fails each step of each verb in turn, before and after it
// happens. After an error the state is the old one, also after a restart, and the
// verb can be repeated.
func TestEveryStepCanFail(t *testing.T) {
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				f := newFaultyWorld(t)
				verb.prepare(f)
				before, after := f.state(), verb.after
				if after == "same" {
					after = before
				}
				f.arm(func(call int) bool { return call == k })
				err := verb.do(f)
				reached = f.disarm() > k
				if err != nil && verb.name != "boot" {
					assert.Check(t, is.ErrorIs(err, errFault), "step %d", k)
					assert.Check(t, dockererrdefs.IsSystem(err), "step %d: %v has no class", k, err)
					assert.Equal(t, f.state(), before, "step %d: %v", k, err)
					f.CheckBut(socketsMayBeLeft, "step %d: %v", k, err)
				}
				if err != nil {
					assert.NilError(t, verb.do(f), "again, after step %d", k)
				}
				assert.Equal(t, f.state(), after, "step %d", k)
				f.CheckBut(socketsMayBeLeft, "step %d", k)
				f.restart()
				assert.Equal(t, f.state(), after, "step %d", k)
				f.Check("restarted after step %d", k)
				f.Shutdown()
			}
		})
	}
}

// TestProcessCanStopAtEveryStep stops the manager at each step in turn, before and
// after it happens. The next manager finds the old state or the new one, and the
// new one if the verb succeeded. Late actions of the old manager do no harm.
func TestProcessCanStopAtEveryStep(t *testing.T) {
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			for k, reached := 0, true; reached; k++ {
				f := newFaultyWorld(t)
				verb.prepare(f)
				before, after := f.state(), verb.after
				if after == "same" {
					after = before
				}
				f.arm(func(call int) bool { return call >= k })
				err := verb.do(f)
				crashed := f.Manager
				f.newest.crash()
				reached = int(f.calls.Load()) > k
				assert.NilError(t, f.Executor.Close())
				f.start()
				got := f.state()
				assert.Check(t, got == before || got == after, "step %d: %s", k, got)
				if err == nil {
					assert.Equal(t, got, after, "step %d: the verb had succeeded", k)
				}
				f.Check("step %d", k)
				crashed.Shutdown()
				assert.Equal(t, f.state(), got)
				f.Check("step %d, and the older manager ended", k)
				f.Shutdown()
			}
		})
	}
}
