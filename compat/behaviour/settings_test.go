// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"
	"strings"

	"github.com/docker/docker/api/types"

	"github.com/dovetailhq/plugin/plugintest"
)

func ptr(s string) *string { return &s }

// settableConfig has, of each kind, a settable entry and an entry that is not
// settable.
func settableConfig() types.PluginConfig {
	c := plugintest.Config(volume)
	c.Env = []types.PluginEnv{
		{Name: "DEBUG", Value: ptr("0"), Settable: []string{"value"}},
		{Name: "EMPTY", Settable: []string{"value"}},
		{Name: "FIXED", Value: ptr("1")},
	}
	c.Mounts = []types.PluginMount{
		{Name: "data", Source: ptr("/srv/data"), Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}},
		{Name: "any", Source: ptr("/srv/any"), Destination: "/any", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source", "destination", "type", "options"}},
		{Name: "late", Destination: "/late", Type: "bind", Settable: []string{"source"}},
		{Name: "fixed", Source: ptr("/srv/fixed"), Destination: "/fixed", Type: "bind"},
	}
	c.Linux.Devices = []types.PluginDevice{
		{Name: "fuse", Path: ptr("/dev/fuse"), Settable: []string{"path"}},
		{Name: "late", Settable: []string{"path"}},
		{Name: "fixed", Path: ptr("/dev/null")},
	}
	c.Args = types.PluginConfigArgs{Name: "args", Value: []string{"--quiet"}, Settable: []string{"value"}}
	return c
}

var settingScenarios = []Scenario{
	{"set", func(r *Run) {
		r.Start()
		for i, args := range []string{
			"DEBUG=1", "DEBUG=1 DEBUG=2", "DEBUG=", "DEBUG", "DEBUG=a=b", "DEBUG.value=3", "DEBUG.other=3", "EMPTY=x", "EMPTY=",
			"FIXED=2", "FIXED.value=2", "UNKNOWN=1", "debug=1", "=1", ".value=1", "DEBUG=4 UNKNOWN=1", "DEBUG=4 FIXED=1",
			"data.source=/tmp", "data=/tmp", "data.source=", "data.destination=/x", "any.source=/x", "any.destination=/x", "any.type=tmpfs", "any.options=ro", "any=/x",
			"late.source=/srv/late", "fixed.source=/x", "fixed=/x",
			"fuse.path=/dev/zero", "fuse=/dev/one", "late.path=/dev/late", "fixed.path=/dev/x",
			"args=--verbose", "args=", "args.value=x",
		} {
			name := fmt.Sprintf("dovetail/set%d", i)
			r.Given(func() error { return r.build(name, settableConfig()) })
			r.set(args, name, strings.Fields(args)...)
		}
		for i, args := range [][]string{{}, {""}, {"args=--a --b"}, {"args='one word' two"}, {`args="open`}} {
			name := fmt.Sprintf("dovetail/set-more%d", i)
			r.Given(func() error { return r.build(name, settableConfig()) })
			r.set(fmt.Sprintf("%q", args), name, args...)
		}
	}},
	{"set survives a restart", func(r *Run) {
		r.Start()
		r.create("create", "dovetail/one:latest", settableConfig())
		r.inspect("defaults", "dovetail/one")
		r.set("set", "dovetail/one", "DEBUG=1", "data.source=/tmp", "fuse.path=/dev/zero", "args=--a --b")
		r.inspect("inspect before", "dovetail/one")
		r.Restart("restart")
		r.inspect("inspect", "dovetail/one")
	}},
	{"set takes effect", func(r *Run) {
		r.Start()
		c := plugintest.Config(volume)
		c.Env = []types.PluginEnv{{Name: "DEBUG", Value: ptr("0"), Settable: []string{"value"}}}
		c.Mounts = []types.PluginMount{{Name: "data", Source: ptr("/srv"), Destination: "/data", Type: "bind", Options: []string{"rbind"}, Settable: []string{"source"}}}
		c.Linux.Devices = []types.PluginDevice{{Name: "device", Path: ptr("/dev/null"), Settable: []string{"path"}}}
		c.Args = types.PluginConfigArgs{Name: "args", Value: []string{"--quiet"}, Settable: []string{"value"}}
		r.create("create", "dovetail/one:latest", c)
		r.set("set", "dovetail/one", "DEBUG=1", "data.source=/tmp", "device.path=/dev/zero", "args=--a --b")
		r.enable("enable", "dovetail/one")
		r.Restart("restart")
		r.inspect("inspect", "dovetail/one")
	}},
}
