// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"context"
	"io"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/plugintest"
)

func (r *Run) upgrade(step, ref, name string, grants types.PluginPrivileges) {
	r.transfer(step, func(out io.Writer) error {
		return r.Upgrade(context.Background(), r.ref(ref), name, nil, nil, grants, out)
	})
}

// versionConfig returns the config of a plugin whose versions differ in a
// default.
func versionConfig(value string) types.PluginConfig {
	c := plugintest.Config(volume)
	c.Env = []types.PluginEnv{
		{Name: "SET", Value: ptr(value), Settable: []string{"value"}},
		{Name: "LEFT", Value: ptr(value), Settable: []string{"value"}},
	}
	c.Mounts = []types.PluginMount{{Name: "data", Source: ptr("/usr"), Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}}
	return c
}

// versionGrants are the grants that it asks for.
var versionGrants = append(types.PluginPrivileges{{Name: "mount", Value: []string{"/usr"}}}, none...)

var upgradeScenarios = []Scenario{
	{"upgrade", func(r *Run) {
		r.Start()
		name := r.Host + "/dovetail/one:v1"
		r.publish("dovetail/one", "v1", versionConfig("1"))
		r.publish("dovetail/one", "v2", versionConfig("2"))
		demanding := demandingConfig()
		r.publish("dovetail/one", "v3", demanding)
		r.pull("pull", "dovetail/one:v1", "", versionGrants)
		r.upgrade("upgrade what is not there", "dovetail/one:v2", "dovetail/none", versionGrants)
		r.upgrade("upgrade to an unknown tag", "dovetail/one:v9", name, versionGrants)
		r.upgrade("upgrade without grants", "dovetail/one:v3", name, versionGrants)
		r.inspect("inspect after a refusal", name)
		r.upgrade("upgrade", "dovetail/one:v2", name, versionGrants)
		r.inspect("inspect", name)
		r.enable("enable", name)
		r.upgrade("upgrade while enabled", "dovetail/one:v1", name, versionGrants)
		r.disable("disable", name, false)
		r.upgrade("upgrade to the same", "dovetail/one:v2", name, versionGrants)
		r.upgrade("upgrade back", "dovetail/one:v1", name, versionGrants)
		r.inspect("inspect at the end", name)
		r.collect()
		r.tree("upgraded")
	}},
	{"upgrade of what was set", func(r *Run) {
		r.Start()
		name := r.Host + "/dovetail/one:v1"
		r.publish("dovetail/one", "v1", versionConfig("1"))
		r.publish("dovetail/one", "v2", versionConfig("2"))
		r.pull("pull", "dovetail/one:v1", "", versionGrants)
		r.set("set", name, "SET=mine", "data.source=/srv")
		r.upgrade("upgrade", "dovetail/one:v2", name, versionGrants)
		r.inspect("inspect", name)
		r.enable("enable", name)
	}},
}
