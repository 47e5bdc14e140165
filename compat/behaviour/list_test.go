// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"github.com/docker/docker/api/types/filters"

	"github.com/dovetailhq/plugin/plugintest"
)

var listScenarios = []Scenario{
	{"list", func(r *Run) {
		r.Start()
		r.list("list nothing")
		for _, c := range []struct {
			name       string
			interfaces []string
		}{
			{"dovetail/volume", []string{volume}},
			{"dovetail/network", []string{"docker.networkdriver/1.0"}},
			{"dovetail/both", []string{volume, "docker.networkdriver/1.0"}},
			{"dovetail/neither", []string{"other.volumedriver/1.0"}},
		} {
			r.Given(func() error { return r.build(c.name, plugintest.Config(c.interfaces...)) })
		}
		r.enable("enable", "dovetail/both")
		r.list("all")
		r.list("enabled", filters.Arg("enabled", "true"))
		r.list("disabled", filters.Arg("enabled", "false"))
		r.Hide("[true false]", "[false true]") // docker lists them in any order
		r.list("enabled or not", filters.Arg("enabled", "true"), filters.Arg("enabled", "false"))
		r.list("enabled by number", filters.Arg("enabled", "1"))
		r.list("enabled by nonsense", filters.Arg("enabled", "perhaps"))
		r.list("by capability", filters.Arg("capability", "volumedriver"))
		r.list("by capability in capitals", filters.Arg("capability", "VolumeDriver"))
		r.list("by either capability", filters.Arg("capability", "volumedriver"), filters.Arg("capability", "networkdriver"))
		r.list("by no capability", filters.Arg("capability", "authz"))
		r.list("by a whole interface type", filters.Arg("capability", volume))
		r.list("by capability and enabled", filters.Arg("capability", "volumedriver"), filters.Arg("enabled", "true"))
		r.list("by another filter", filters.Arg("name", "dovetail/volume"))
	}},
}

// list is a step that returns a set of names.
func (r *Run) list(step string, args ...filters.KeyValuePair) {
	var names []string
	r.Do(step, func() error {
		found, err := r.List(filters.NewArgs(args...))
		for _, p := range found {
			names = append(names, p.Name)
		}
		return err
	})
	r.See(step, "result", sorted(names))
}
