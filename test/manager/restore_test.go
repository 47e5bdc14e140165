// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"io"
	"testing"

	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin"
)

// restores is an executor that counts calls of Restore. It lists no runs.
type restores struct {
	plugin.Executor
	asked map[string]int
}

func (r *restores) Restore(id string, stdout, stderr io.WriteCloser) (bool, error) {
	r.asked[id]++
	return r.Executor.Restore(id, stdout, stderr)
}

// TestRestoreOfEnabledPluginsOnly starts a manager with an executor like the fakes
// of docker's embedders, which know enabled plugins only.
func TestRestoreOfEnabledPluginsOnly(t *testing.T) {
	w := newWorld(t).start()
	on, off := w.Create("on"), w.Create("off")
	w.MustEnable(on)
	w.Shutdown()
	counted := &restores{Executor: w.Executor, asked: map[string]int{}}
	w.Config.CreateExecutor = func(pm *plugin.Manager) (plugin.Executor, error) {
		w.Executor.HandleExits(func(id string) { _ = pm.HandleExitEvent(id) })
		return counted, nil
	}
	w.start()
	w.Shutdown()
	assert.Equal(t, counted.asked[on], 1)
	assert.Equal(t, counted.asked[off], 0)
}
