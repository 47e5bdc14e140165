// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"github.com/docker/docker/pkg/plugingetter"

	"github.com/dovetailhq/plugin/plugintest"
)

var lifecycleScenarios = []Scenario{
	{"enable and disable", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.disable("disable what is disabled", "dovetail/one", false)
		r.disable("disable what is disabled by force", "dovetail/one", true)
		r.enable("enable", "dovetail/one")
		r.inspect("inspect", "dovetail/one")
		r.enable("enable again", "dovetail/one")
		r.set("set while enabled", "dovetail/one", "A=1")
		r.remove("remove while enabled", "dovetail/one", false)
		r.disable("disable", "dovetail/one", false)
		r.inspect("inspect afterwards", "dovetail/one")
		r.enable("enable by id", r.ID("dovetail/one:latest"))
		r.remove("remove by force", "dovetail/one", true)
		r.remove("remove again", "dovetail/one", true)
	}},
	{"enable and disable without a config", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.Do("enable", func() error { return r.Enable("dovetail/one", nil) })
		r.noteSpecs("enable")
		r.Do("disable", func() error { return r.Disable("dovetail/one", nil) })
		r.Do("remove", func() error { return r.Remove("dovetail/one", nil) })
	}},
	{"nothing there", func(r *Run) {
		r.Start()
		r.enable("enable", "dovetail/none")
		r.disable("disable", "dovetail/none", false)
		r.remove("remove", "dovetail/none", false)
		r.set("set", "dovetail/none", "A=1")
		r.inspect("inspect", "dovetail/none")
		r.inspect("inspect nothing", "")
		r.inspect("inspect nonsense", "not a name!")
		r.Do("exit", func() error { return r.HandleExitEvent("none") })
		r.Do("push", func() error { return r.Push(r.t.Context(), "dovetail/none", nil, nil, nil) })
	}},
	{"a mount inside", func(r *Run) {
		config := plugintest.Config(volume)
		config.PropagatedMount = "/data"
		r.Executor.Reports = plugintest.ReportInSignal // docker unmounts when an exit is reported
		r.Start()
		r.Given(func() error { return r.build("dovetail/one:latest", config) })
		id := r.ID("dovetail/one:latest")
		r.enable("enable", "dovetail/one")
		r.mountInside(id)
		r.disable("disable with a mount inside", "dovetail/one", false)
		r.noteMounts("disable with a mount inside", id)
		r.enable("enable again", "dovetail/one")
		r.mountInside(id)
		r.remove("remove with a mount inside", "dovetail/one", true)
		r.noteMounts("remove with a mount inside", id)
	}},
	{"in use", func(r *Run) {
		r.installed("dovetail/one:latest", volume)
		r.enable("enable", "dovetail/one")
		r.get("acquire", "dovetail/one", "VolumeDriver", plugingetter.Acquire)
		r.disable("disable", "dovetail/one", false)
		r.remove("remove", "dovetail/one", false)
		r.get("release", "dovetail/one", "VolumeDriver", plugingetter.Release)
		r.get("acquire again", "dovetail/one", "VolumeDriver", plugingetter.Acquire)
		r.disable("disable by force", "dovetail/one", true)
		r.remove("remove what is in use and disabled", "dovetail/one", false)
		r.get("release what is disabled", "dovetail/one", "VolumeDriver", plugingetter.Release)
		r.remove("remove by force", "dovetail/one", true)
	}},
}
