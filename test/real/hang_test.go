//go:build linux

package plugin_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/executor/runc"
)

// hangingRuntime is runc, until the k-th call; that one and later ones hang.
func hangingRuntime(t *testing.T, k int) string {
	t.Helper()
	real, err := exec.LookPath("runc")
	assert.NilError(t, err)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho >> %[1]s/calls\n[ $(wc -l < %[1]s/calls) -gt %[2]d ] && exec sleep 1000\nexec %[3]s \"$@\"\n", dir, k, real)
	path := filepath.Join(dir, "runtime")
	assert.NilError(t, os.WriteFile(path, []byte(script), 0o755))
	return path
}

// TestHungRuntime leads a real plugin through its life while the OCI runtime
// hangs from some call on. Every verb returns within its bound, and after the
// end nothing of the plugin runs.
func TestHungRuntime(t *testing.T) {
	for k := range 3 {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			w := newRuncWorld(t)
			state, runtime := filepath.Join(w.config.ExecRoot, "runc"), hangingRuntime(t, k)
			w.config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
				return runc.New(state, pm, runc.WithRuntime(runtime))
			}
			w.config.StartTimeout, w.config.StopTimeout = 2*time.Second, time.Second
			w.start()
			id := w.createProbe("p", listenStep, "wait=")
			for _, verb := range []struct {
				name string
				do   func()
			}{
				{"enable", func() { _ = w.Enable(id, nil) }},
				{"disable", func() { _ = w.Disable(id, nil) }},
				{"enable again", func() { _ = w.Enable(id, nil) }},
				{"remove", func() { _ = w.Remove(id, forced) }},
				{"shutdown", w.Shutdown},
			} {
				elapsed := took(verb.do)
				assert.Check(t, elapsed < 30*time.Second, "%s took %s", verb.name, elapsed)
				t.Logf("%s took %s", verb.name, elapsed)
			}
			left, err := exec.Command("pgrep", "-f", state).CombinedOutput()
			assert.Check(t, err != nil, "left: %s", left)
		})
	}
}
