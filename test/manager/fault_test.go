//go:build linux

package plugin_test

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
	"github.com/dovetailhq/plugin/plugintest"
	fake "github.com/dovetailhq/plugin/plugintest/registry"
)

var errFault = errors.New("injected fault")

// faultyWorld is a world whose files fail while armed, with a registry that
// has two versions of a plugin.
type faultyWorld struct {
	*world
	hands      *hands // of the newest manager
	registry   *fake.Registry
	repository string
	grants     types.PluginPrivileges
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

// unstarted is a world without a manager yet.
func unstarted(t *testing.T) *faultyWorld {
	t.Helper()
	f := &faultyWorld{world: newWorld(t)}
	f.config.CreateExecutor = f.shareExecutor
	f.config.RegistryService = endpoints{}
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

// hands are a manager's executor without the right to close it: that of a
// manager that crashed is closed by nobody, and starts nothing more.
type hands struct {
	plugin.Executor
	mu   sync.Mutex
	tied bool
}

func (h *hands) Create(id string, spec specs.Spec, stdout, stderr io.WriteCloser) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tied {
		return errors.Join(errFault, stdout.Close(), stderr.Close())
	}
	return h.Executor.Create(id, spec, stdout, stderr)
}

func (h *hands) tie() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tied = true
}

func (f *faultyWorld) shareExecutor(pm *plugin.Manager) (plugin.Executor, error) {
	executor, err := f.createExecutor(pm)
	f.hands = &hands{Executor: executor}
	return f.hands, err
}

// boot makes a manager on the files that fail.
func (f *faultyWorld) boot() error {
	files := f.files
	pm, err := plugin.NewManagerOn(f.config, &files)
	if err == nil {
		f.Manager = pm
	}
	return err
}

// arm makes the calls fail that chosen says. Each step asks twice: before it,
// and after it happened.
func (f *faultyWorld) arm(chosen func(call int) bool) {
	f.calls.Store(0)
	f.fails.Store(&chosen)
}

// disarm returns how many calls there were.
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

func gzippedLayer(t *testing.T, name, content string) packedLayer {
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
	_, err := f.pull(f.repository+version, "p", f.granted())
	return err
}

// granted is what all versions ask for.
func (f *faultyWorld) granted() types.PluginPrivileges {
	if f.grants == nil {
		grants, err := f.Privileges(f.t.Context(), named(f.t, f.repository+"v1"), nil, nil)
		assert.NilError(f.t, err)
		f.grants = grants
	}
	return f.grants
}

// state is what a user sees of all plugins.
func (w *world) state() string {
	w.t.Helper()
	list, err := w.List(filters.NewArgs())
	assert.NilError(w.t, err)
	lines := make([]string, len(list))
	for i, p := range list {
		lines[i] = fmt.Sprintf("%s %v %v %q", p.Name, p.Enabled, p.Settings.Env, p.Config.Description)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// check holds disk, memory and executor against each other.
func (w *world) check(why string, args ...any) {
	w.t.Helper()
	w.checkBut(plugintest.RootCheck{ExecRoot: w.config.ExecRoot}, why, args...)
}

// checkBut is check with less to look at.
func (w *world) checkBut(check plugintest.RootCheck, why string, args ...any) {
	w.t.Helper()
	w.GC()
	check.Manager, check.Executor, check.Collected = w.Manager, w.executor, true
	err := plugintest.CheckRoot(w.config.Root, check)
	assert.NilError(w.t, err, append([]any{why}, args...)...)
}

// socketsMayBeLeft until the next start of the plugin or of the manager: what
// can't be deleted in ExecRoot is in nobody's way.
var socketsMayBeLeft = plugintest.RootCheck{}

// settable is a config of which one setting can be changed.
func settable(description string) types.PluginConfig {
	config := plugintest.Config("docker.volumedriver/1.0")
	value := "0"
	config.Env = []types.PluginEnv{{Name: "DEBUG", Value: &value, Settable: []string{"value"}}}
	config.Description = description
	config.PropagatedMount = "/data"
	return config
}

var forced = &backend.PluginRmConfig{ForceRemove: true}

// verbs is each verb once, on a world that prepare made.
var verbs = []struct {
	name    string
	prepare func(f *faultyWorld)
	do      func(f *faultyWorld) error
	after   string // the state when it is done; "same" if it changes nothing
}{
	{
		"create", func(*faultyWorld) {},
		func(f *faultyWorld) error { return f.createConfig("p", settable("one")) },
		`p:latest false [DEBUG=0] "one"`,
	},
	{
		"pull", func(f *faultyWorld) { f.granted() },
		func(f *faultyWorld) error { return f.pullVersion("v1") },
		`p:latest false [DEBUG=0] "v1"`,
	},
	{
		"upgrade", func(f *faultyWorld) {
			assert.NilError(f.t, f.pullVersion("v1"))
			assert.NilError(f.t, f.Set("p", []string{"DEBUG=1"}))
		},
		func(f *faultyWorld) error { return f.upgrade(f.repository+"v2", "p", f.granted()) },
		`p:latest false [DEBUG=1] "v2"`,
	},
	{
		"enable", func(f *faultyWorld) { f.install("p") },
		func(f *faultyWorld) error { return f.Enable("p", &backend.PluginEnableConfig{Timeout: 7}) },
		`p:latest true [DEBUG=0] "p"`,
	},
	{
		"disable", func(f *faultyWorld) { f.install("p"); f.enable("p") },
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
		"remove by force", func(f *faultyWorld) { f.install("p"); f.enable("p") },
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
		func(f *faultyWorld) error { _, err := f.Prune(f.t.Context()); return err },
		"same",
	},
	{
		"boot", func(f *faultyWorld) { f.install("p"); f.install("off"); f.enable("p"); f.Shutdown(); f.litter() },
		func(f *faultyWorld) error { return f.boot() },
		"same",
	},
}

func (f *faultyWorld) install(name string) {
	f.t.Helper()
	assert.NilError(f.t, f.createConfig(name, settable(name)))
}

// litter leaves what crashes leave.
func (f *faultyWorld) litter() {
	f.t.Helper()
	f.leave("garbage", "storage", "blobs", "sha256", strings.Repeat("0", 64))
	f.leave("", strings.Repeat("1", 64)+"-removing", "rootfs", "file")
}

func (w *world) leave(content string, elements ...string) {
	w.t.Helper()
	path := filepath.Join(append([]string{w.config.Root}, elements...)...)
	assert.NilError(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	assert.NilError(w.t, os.WriteFile(path, []byte(content), 0o600))
}

// TestEveryStepCanFail fails one step after the other, before and after it
// happened. Who was told of an error finds the old state, now and after a
// restart, and can do it again.
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
					f.checkBut(socketsMayBeLeft, "step %d: %v", k, err)
				}
				if err != nil {
					assert.NilError(t, verb.do(f), "again, after step %d", k)
				}
				assert.Equal(t, f.state(), after, "step %d", k)
				f.checkBut(socketsMayBeLeft, "step %d", k)
				f.restart()
				assert.Equal(t, f.state(), after, "step %d", k)
				f.check("restarted after step %d", k)
				f.Shutdown()
			}
		})
	}
}

// TestProcessCanStopAtEveryStep stops everything at one step after the other,
// before and after it happened. The next manager finds the old state or the
// new one, and the new one if the verb was done; what the old manager still
// does harms nothing.
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
				f.hands.tie()
				reached = int(f.calls.Load()) > k
				assert.NilError(t, f.executor.Close())
				f.start()
				got := f.state()
				assert.Check(t, got == before || got == after, "step %d: %s", k, got)
				if err == nil {
					assert.Equal(t, got, after, "step %d: it was said to be done", k)
				}
				f.check("step %d", k)
				crashed.Shutdown()
				assert.Equal(t, f.state(), got)
				f.check("step %d, and the older manager ended", k)
				f.Shutdown()
			}
		})
	}
}
