// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"context"
	"slices"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/backend"

	"github.com/dovetailhq/plugin/plugintest"
)

// scenarios is all scenarios.
var scenarios = slices.Concat(
	createScenarios, lifecycleScenarios, lookupScenarios, legacyScenarios, listScenarios, settingScenarios, specScenarios,
	failureScenarios, eventScenarios, daemonScenarios, registryScenarios, upgradeScenarios, storageScenarios,
)

const volume = "docker.volumedriver/1.0"

// Steps that many scenarios share.

func (r *Run) create(step, name string, config types.PluginConfig) {
	r.Do(step, func() error { return r.build(name, config) })
}

// build creates a plugin with content that no other plugin has.
func (r *Run) build(name string, config types.PluginConfig) error {
	files := map[string]string{"plugin": "#!/bin/sh", "bin/sh": "\x7fELF", "etc/name": name}
	if config.Documentation == "" {
		config.Documentation = name
	}
	return r.CreateFromContext(context.Background(), plugintest.BuildContext(config, files), &types.PluginCreateOptions{RepoName: name})
}

// installed begins a scenario with one disabled plugin.
func (r *Run) installed(name string, interfaces ...string) string {
	r.Start()
	r.Given(func() error { return r.build(name, plugintest.Config(interfaces...)) })
	return r.ID(name)
}

func (r *Run) enable(step, ref string) {
	r.Do(step, func() error { return r.Enable(ref, &backend.PluginEnableConfig{Timeout: 30}) })
	r.noteSpecs(step)
}

func (r *Run) disable(step, ref string, force bool) {
	r.Do(step, func() error { return r.Disable(ref, &backend.PluginDisableConfig{ForceDisable: force}) })
}

func (r *Run) remove(step, ref string, force bool) {
	r.Do(step, func() error { return r.Remove(ref, &backend.PluginRmConfig{ForceRemove: force}) })
}

// set is a step whose result is the settings afterwards.
func (r *Run) set(step, ref string, args ...string) {
	r.Do(step, func() error { return r.Set(ref, args) })
	if p, err := r.Inspect(ref); err == nil {
		r.See(step, "settings", p.Settings)
	}
}

// inspect is a step that returns the whole plugin.
func (r *Run) inspect(step, ref string) {
	var p *types.Plugin
	r.Do(step, func() (err error) {
		p, err = r.Inspect(ref)
		return err
	})
	if p != nil {
		r.See(step, "result", p)
	}
}
