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

// versionConfig is that of a plugin whose versions differ in a default.
func versionConfig(value string) types.PluginConfig {
	c := plugintest.Config(volume)
	c.Env = []types.PluginEnv{
		{Name: "SET", Value: ptr(value), Settable: []string{"value"}},
		{Name: "LEFT", Value: ptr(value), Settable: []string{"value"}},
	}
	return c
}

var upgradeScenarios = []Scenario{
	{"upgrade", func(r *Run) {
		r.Start()
		name := r.Host + "/dovetail/one:v1"
		r.publish("dovetail/one", "v1", versionConfig("1"))
		r.publish("dovetail/one", "v2", versionConfig("2"))
		demanding := demandingConfig()
		r.publish("dovetail/one", "v3", demanding)
		r.pull("pull", "dovetail/one:v1", "", none)
		r.upgrade("upgrade what is not there", "dovetail/one:v2", "dovetail/none", none)
		r.upgrade("upgrade to an unknown tag", "dovetail/one:v9", name, none)
		r.upgrade("upgrade without grants", "dovetail/one:v3", name, none)
		r.inspect("inspect after a refusal", name)
		r.upgrade("upgrade", "dovetail/one:v2", name, none)
		r.inspect("inspect", name)
		r.enable("enable", name)
		r.upgrade("upgrade while enabled", "dovetail/one:v1", name, none)
		r.disable("disable", name, false)
		r.upgrade("upgrade to the same", "dovetail/one:v2", name, none)
		r.upgrade("upgrade back", "dovetail/one:v1", name, none)
		r.inspect("inspect at the end", name)
		r.collect()
		r.tree("upgraded")
	}},
	{"upgrade of what was set", func(r *Run) {
		r.Start()
		name := r.Host + "/dovetail/one:v1"
		r.publish("dovetail/one", "v1", versionConfig("1"))
		r.publish("dovetail/one", "v2", versionConfig("2"))
		r.pull("pull", "dovetail/one:v1", "", none)
		r.set("set", name, "SET=mine")
		r.upgrade("upgrade", "dovetail/one:v2", name, none)
		r.inspect("inspect", name)
	}},
}
