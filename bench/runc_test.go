// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
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

	"github.com/dovetailhq/plugin/bench/internal/subject"
	"github.com/dovetailhq/plugin/executor/runc"
	"github.com/dovetailhq/plugin/internal/testenv"
	"github.com/dovetailhq/plugin/plugintest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

// BenchmarkStart measures the time from the start of a plugin with runc until
// its socket accepts. Both managers use our executor; the limit is runc alone.
func BenchmarkStart(b *testing.B) {
	program := probe(b)
	var spec *specs.Spec
	forEach(b, func(b *testing.B, start subject.Start) {
		m := newProbeManager(b, start, program)
		defer m.Shutdown()
		measure(b, func() (func() error, func()) {
			return func() error { m.enable("bench/probe"); return nil }, func() { m.disable("bench/probe") }
		})
		var err error
		spec, err = m.Spec("bench/probe") // docker's manager sets no rootfs before the first start
		assert.NilError(b, err)
	})
	limit(b, func(b *testing.B) {
		if spec == nil {
			testenv.Skip(b, "the benchmark of a manager, whose plugin the bare runtime runs, was not selected")
		}
		bare := newBareRuntime(b, *spec)
		measure(b, func() (func() error, func()) { return bare.start, bare.stop })
	})
}

// probe returns the program of the executor kit.
func probe(b *testing.B) []byte {
	b.Helper()
	b.Chdir(source)
	rootfs := executortest.BuildProbe(b)
	program, err := os.ReadFile(filepath.Join(rootfs, executortest.Spec(rootfs).Process.Args[0]))
	assert.NilError(b, err)
	b.Chdir(filepath.Join(scratch, "work"))
	return program
}

func newProbeManager(b *testing.B, start subject.Start, program []byte) *manager {
	b.Helper()
	h := newHost(b)
	h.config.Executor = func(exits subject.ExitHandler) (subject.Executor, error) {
		return runc.New(filepath.Join(h.config.ExecRoot, "runc"), exits)
	}
	m := h.start(start)
	config := plugintest.Config(volume)
	config.Entrypoint = executortest.Spec("", "listen=/run/docker/plugins/plugin.sock", "wait=").Process.Args
	buildContext := plugintest.BuildContext(config, map[string]string{config.Entrypoint[0]: string(program)})
	assert.NilError(b, m.CreateFromContext(context.Background(), buildContext, &types.PluginCreateOptions{RepoName: "bench/probe"}))
	return m
}

// bareRuntime is runc without a manager.
type bareRuntime struct {
	b      *testing.B
	bundle string
	socket string
	runs   int
	run    *exec.Cmd
}

func newBareRuntime(b *testing.B, spec specs.Spec) *bareRuntime {
	b.Helper()
	bare := &bareRuntime{b: b, bundle: newDirectory(b)}
	for i, mount := range spec.Mounts {
		if mount.Destination == "/run/docker/plugins" {
			spec.Mounts[i].Source = filepath.Join(bare.bundle, "sockets")
			bare.socket = filepath.Join(bare.bundle, "sockets", "plugin.sock")
		}
	}
	assert.Assert(b, bare.socket != "")
	assert.NilError(b, os.Mkdir(filepath.Dir(bare.socket), 0o700))
	data, err := json.Marshal(spec)
	assert.NilError(b, err)
	assert.NilError(b, os.WriteFile(filepath.Join(bare.bundle, "config.json"), data, 0o600))
	return bare
}

func (r *bareRuntime) command(verb string, arguments ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(r.bundle, "state"), verb}, arguments...)...)
}

func (r *bareRuntime) id() string { return fmt.Sprint("bare", r.runs) }

// start returns when the socket accepts. It polls every millisecond, which is
// the cheapest way without a manager.
func (r *bareRuntime) start() error {
	r.runs++
	_ = os.Remove(r.socket) // of an earlier run
	r.run = r.command("run", "--bundle", r.bundle, r.id())
	var stderr bytes.Buffer
	r.run.Stderr = &stderr
	if err := r.run.Start(); err != nil {
		return err
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for {
		select {
		case <-deadline.C:
			return fmt.Errorf("the bare runtime never listened: %s", stderr.String())
		case <-again.C:
		}
		if conn, err := net.Dial("unix", r.socket); err == nil {
			return conn.Close()
		}
	}
}

func (r *bareRuntime) stop() {
	out, err := r.command("kill", r.id(), "KILL").CombinedOutput()
	assert.NilError(r.b, err, string(out))
	_ = r.run.Wait() // it was killed
}
