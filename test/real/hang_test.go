// SPDX-License-Identifier: Apache-2.0

//go:build linux

package real_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/backend"
	"gotest.tools/v3/assert"
)

// hangingRuntime returns the path of a runc that hangs from its k-th call on.
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

// TestHungRuntime runs the verbs on a real plugin while the OCI runtime hangs from
// the k-th call on. Every verb returns within its bound, and in the end no process
// of the plugin runs.
func TestHungRuntime(t *testing.T) {
	for k := range 3 {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			w := newWorldOn(t, hangingRuntime(t, k))
			w.Config.StartTimeout, w.Config.StopTimeout = 2*time.Second, time.Second
			w.Start()
			id := createProbe(w, "p", listenStep, "wait=")
			for _, verb := range []struct {
				name string
				do   func()
			}{
				{"enable", func() { _ = w.Enable(id, nil) }},
				{"disable", func() { _ = w.Disable(id, nil) }},
				{"enable again", func() { _ = w.Enable(id, nil) }},
				{"remove", func() { _ = w.Remove(id, &backend.PluginRmConfig{ForceRemove: true}) }},
				{"shutdown", w.Shutdown},
			} {
				began := time.Now()
				verb.do()
				elapsed := time.Since(began)
				assert.Check(t, elapsed < 30*time.Second, "%s took %s", verb.name, elapsed)
				t.Logf("%s took %s", verb.name, elapsed)
			}
			left, err := exec.Command("pgrep", "-f", runtimeState(w)).CombinedOutput()
			assert.Check(t, err != nil, "left: %s", left)
		})
	}
}
