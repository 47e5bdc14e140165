// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
)

// BenchmarkStartRunc measures, in one run, how long a bare runtime takes from
// its start until the plugin's socket accepts, and how long Enable takes.
func BenchmarkStartRunc(b *testing.B) {
	w := newWorld(b)
	w.Start()
	id := createProbe(w, "probe", "listen=/run/docker/plugins/plugin.sock", "wait=")
	w.MustEnable(id)
	p, err := w.Get(id)
	assert.NilError(b, err)
	spec, err := p.InitSpec(w.Config.ExecRoot)
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

// bareRuntime runs runc without a manager.
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

// start returns when the socket accepts. It polls every millisecond, the cheapest
// way without a manager.
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
