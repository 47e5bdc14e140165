// SPDX-License-Identifier: Apache-2.0

//go:build linux

package runc_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/executor/internal/attend/attendtest"
	"github.com/dovetailhq/plugin/plugintest/executortest"
)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// BenchmarkStart measures the time from the call to a listening socket: what
// a runtime needs by itself, and what the executor makes of it. The end of
// the run is not measured.
func BenchmarkStart(b *testing.B) {
	rootfs := executortest.BuildProbe(b)
	up := notice(b, rootfs, "up")
	steps := []string{"listen=/p.sock", "tell=/up", "wait="}
	socket := filepath.Join(rootfs, "p.sock")

	b.Run("bare runtime", func(b *testing.B) {
		bundle, state := b.TempDir(), b.TempDir()
		spec := executortest.Spec(rootfs, steps...)
		config, err := json.Marshal(spec)
		assert.NilError(b, err)
		assert.NilError(b, os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600))
		for b.Loop() {
			id := attendtest.NewID()
			runtime := exec.Command("runc", "--root", state, "run", "--bundle", bundle, "--pid-file", filepath.Join(bundle, "pid"), id)
			assert.NilError(b, runtime.Start())
			up()
			b.StopTimer()
			assert.NilError(b, runtime.Process.Signal(syscall.SIGTERM))
			assert.NilError(b, runtime.Wait())
			os.Remove(socket)
			b.StartTimer()
		}
	})
	b.Run("executor", func(b *testing.B) {
		ended := make(attendtest.Exits, 1)
		e := newExecutor(b, "runc", b.TempDir(), ended)
		defer e.Close()
		for b.Loop() {
			id := attendtest.NewID()
			assert.NilError(b, e.Create(id, executortest.Spec(rootfs, steps...), discard{}, discard{}))
			up()
			b.StopTimer()
			assert.NilError(b, e.Signal(id, syscall.SIGTERM))
			ended.Await(b, id)
			os.Remove(socket)
			b.StartTimer()
		}
	})
}
