// SPDX-License-Identifier: Apache-2.0

//go:build linux

package manager_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/plugintest"
)

// redact hides the values of variables with "TOKEN" in their name.
func redact(p *types.Plugin) {
	for i, entry := range p.Settings.Env {
		if name, _, ok := strings.Cut(entry, "="); ok && strings.HasSuffix(name, "TOKEN") {
			p.Settings.Env[i] = name + "=***"
		}
	}
	for i := range p.Config.Env {
		if strings.HasSuffix(p.Config.Env[i].Name, "TOKEN") {
			p.Config.Env[i].Value = nil
		}
	}
}

func TestRedactChangesAnswersOnly(t *testing.T) {
	w := newWorld(t)
	w.Config.Redact = redact
	var ran []string
	w.Executor.Choose = func(_ string, _ int, spec specs.Spec) plugintest.Behaviour {
		ran = spec.Process.Env
		return plugintest.Behaviour{}
	}
	w.start()
	secret := "default"
	config := plugintest.Config("docker.volumedriver/1.0")
	config.Env = []types.PluginEnv{{Name: "API_TOKEN", Value: &secret, Settable: []string{"value"}}, {Name: "LEVEL", Value: &secret}}
	assert.NilError(t, w.CreateConfig("p", config))
	assert.NilError(t, w.Set("p", []string{"API_TOKEN=hunter2"}))

	for range 2 { // the redacted copy does not change the plugin
		answer, err := w.Inspect("p")
		assert.NilError(t, err)
		assert.DeepEqual(t, answer.Settings.Env, []string{"API_TOKEN=***", "LEVEL=default"})
		assert.Check(t, answer.Config.Env[0].Value == nil)
		list, err := w.List(filters.NewArgs())
		assert.NilError(t, err)
		assert.DeepEqual(t, list, []types.Plugin{*answer})
	}
	p, err := w.Get("p")
	assert.NilError(t, err)
	assert.DeepEqual(t, p.Snapshot().Settings.Env, []string{"API_TOKEN=hunter2", "LEVEL=default"})
	record, err := os.ReadFile(filepath.Join(w.Config.Root, p.GetID(), "config.json"))
	assert.NilError(t, err)
	assert.Check(t, is.Contains(string(record), "API_TOKEN=hunter2"))
	w.MustEnable("p")
	assert.Check(t, slices.Contains(ran, "API_TOKEN=hunter2"), "%q", ran)

	w.restart()
	answer, err := w.Inspect("p")
	assert.NilError(t, err)
	assert.DeepEqual(t, answer.Settings.Env, []string{"API_TOKEN=***", "LEVEL=default"})
}
