//go:build linux

package plugin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// BenchmarkStartRunc measures, in one run, how long a bare runtime takes from
// its start until the plugin's socket accepts, and how long Enable takes.
func BenchmarkStartRunc(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("runc needs root")
	}
	w := newWorld(b)
	state := filepath.Join(w.config.ExecRoot, "runc")
	w.config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) { return runc.New(state, pm) }
	w.start()
	id := w.createProbe("probe", "listen=/run/docker/plugins/plugin.sock", "wait=")
	w.enable(id)
	p, err := w.Get(id)
	assert.NilError(b, err)
	spec, err := p.InitSpec(w.config.ExecRoot)
	assert.NilError(b, err)
	assert.NilError(b, w.Disable(id, nil))

	b.Run("bare", func(b *testing.B) {
		bare := newBareRuntime(b, *spec)
		for b.Loop() {
			bare.start()
			b.StopTimer()
			bare.stop()
			b.StartTimer()
		}
	})
	b.Run("enable", func(b *testing.B) {
		for b.Loop() {
			if err := w.Enable(id, nil); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := w.Disable(id, nil); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// createProbe makes a plugin of the conformance kit's program.
func (w *world) createProbe(name string, steps ...string) string {
	w.t.Helper()
	return w.createProbeAs(name, func(*types.PluginConfig) {}, steps...)
}

// createProbeAs is createProbe with a config of the test's.
func (w *world) createProbeAs(name string, change func(*types.PluginConfig), steps ...string) string {
	w.t.Helper()
	rootfs := executortest.BuildProbe(w.t)
	entrypoint := executortest.Spec(rootfs, steps...).Process.Args
	binary, err := os.ReadFile(filepath.Join(rootfs, entrypoint[0]))
	assert.NilError(w.t, err)
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Entrypoint = entrypoint
	change(&config)
	source := plugintest.BuildContext(config, map[string]string{entrypoint[0]: string(binary)})
	assert.NilError(w.t, w.CreateFromContext(context.Background(), source, &types.PluginCreateOptions{RepoName: name}))
	return w.id(name)
}

// bareRuntime is runc with nothing around it.
type bareRuntime struct {
	b      *testing.B
	bundle string
	socket string
	runs   int
	run    *exec.Cmd
}

func newBareRuntime(b *testing.B, spec specs.Spec) *bareRuntime {
	b.Helper()
	bare := &bareRuntime{b: b, bundle: b.TempDir()}
	for _, mount := range spec.Mounts {
		if mount.Destination == "/run/docker/plugins" {
			bare.socket = filepath.Join(mount.Source, "plugin.sock")
		}
	}
	data, err := json.Marshal(spec)
	assert.NilError(b, err)
	assert.NilError(b, os.WriteFile(filepath.Join(bare.bundle, "config.json"), data, 0o600))
	return bare
}

// start returns when the socket accepts; asking every millisecond is the
// cheapest way that needs no manager.
func (r *bareRuntime) start() {
	r.runs++
	_ = os.Remove(r.socket)
	_ = os.MkdirAll(filepath.Dir(r.socket), 0o700)
	r.run = exec.Command("runc", "--root", filepath.Join(r.bundle, "state"), "run", "--bundle", r.bundle, fmt.Sprint("bare", r.runs))
	if err := r.run.Start(); err != nil {
		r.b.Fatal(err)
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for range again.C {
		if conn, err := net.Dial("unix", r.socket); err == nil {
			_ = conn.Close()
			return
		}
	}
}

func (r *bareRuntime) stop() {
	out, err := exec.Command("runc", "--root", filepath.Join(r.bundle, "state"), "kill", fmt.Sprint("bare", r.runs), "KILL").CombinedOutput()
	if err != nil {
		r.b.Fatalf("%v: %s", err, out)
	}
	_ = r.run.Wait() // it was killed
}
