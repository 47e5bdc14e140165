// SPDX-License-Identifier: Apache-2.0

package behaviour

import (
	"fmt"

	"github.com/docker/docker/api/types"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/dovetailhq/plugin/plugintest"
)

var specScenarios = []Scenario{{"specs", func(r *Run) {
	r.Start()
	r.Store().Mount("VolumeDriver", specs.Mount{Type: "bind", Source: "/tmp", Destination: "/run/option", Options: []string{"bind", "ro"}})
	for i, c := range []struct {
		name   string
		change func(*types.PluginConfig)
	}{
		{"plain", func(*types.PluginConfig) {}},
		{"of no interface", func(c *types.PluginConfig) { c.Interface.Types = nil }},
		{"host network", func(c *types.PluginConfig) { c.Network.Type = "host" }},
		{"bridge network", func(c *types.PluginConfig) { c.Network.Type = "bridge" }},
		{"no network", func(c *types.PluginConfig) { c.Network.Type = "" }},
		{"host pid and ipc", func(c *types.PluginConfig) { c.PidHost, c.IpcHost = true, true }},
		{"capabilities", func(c *types.PluginConfig) {
			c.Linux.Capabilities = []string{"CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_NET_RAW"}
		}},
		{"all devices", func(c *types.PluginConfig) { c.Linux.AllowAllDevices = true }},
		{"device", func(c *types.PluginConfig) {
			c.Linux.Devices = []types.PluginDevice{{Name: "null", Path: ptr("/dev/null")}}
		}},
		{"missing device", func(c *types.PluginConfig) {
			c.Linux.Devices = []types.PluginDevice{{Name: "none", Path: ptr("/dev/dovetail-none")}}
		}},
		{"device without a path", func(c *types.PluginConfig) {
			c.Linux.Devices = []types.PluginDevice{{Name: "none", Settable: []string{"path"}}}
		}},
		{"mounts", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{
				{Name: "etc", Source: ptr("/etc"), Destination: "/host/etc", Type: "bind", Options: []string{"rbind", "ro"}},
				{Name: "tmp", Destination: "/scratch", Type: "tmpfs", Source: ptr("tmpfs"), Options: []string{"size=1m"}},
				{Destination: "/unnamed", Source: ptr("/usr"), Type: "bind", Options: []string{"bind"}},
			}
		}},
		{"mount over a default", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Name: "dev", Source: ptr("/dev"), Destination: "/dev", Type: "bind", Options: []string{"rbind"}}}
		}},
		{"mount below a default", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Name: "shm", Source: ptr("/dev/shm"), Destination: "/dev/shm", Type: "bind", Options: []string{"rbind"}}}
		}},
		{"mount at the sockets", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Name: "sockets", Source: ptr("/tmp"), Destination: "/run/docker/plugins", Type: "bind", Options: []string{"rbind"}}}
		}},
		{"mount without a source", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Name: "late", Destination: "/late", Type: "bind"}}
		}},
		{"propagated mount", func(c *types.PluginConfig) { c.PropagatedMount = "/dovetail-propagated" }},
		{"environment", func(c *types.PluginConfig) {
			c.Env = []types.PluginEnv{{Name: "A", Value: ptr("1")}, {Name: "PATH", Value: ptr("/mine")}, {Name: "NONE"}, {Name: "EMPTY", Value: ptr("")}}
		}},
		{"arguments", func(c *types.PluginConfig) { c.Args.Value = []string{"--one", "two words"} }},
		{"working directory", func(c *types.PluginConfig) { c.WorkDir = "/work" }},
		{"relative working directory", func(c *types.PluginConfig) { c.WorkDir = "work" }},
		{"user", func(c *types.PluginConfig) { c.User = types.PluginConfigUser{UID: 1000, GID: 1000} }},
		{"odd network", func(c *types.PluginConfig) { c.Network.Type = "storage_internal" }},
		{"odd network in capitals", func(c *types.PluginConfig) { c.Network.Type = "HOST" }},
		{"odd capabilities", func(c *types.PluginConfig) {
			c.Linux.Capabilities = []string{"ALL", "cap_sys_admin", "net_admin"}
		}},
		{"odd variables", func(c *types.PluginConfig) {
			c.Env = []types.PluginEnv{{Name: "A B", Value: ptr("1")}, {Name: "C=D", Value: ptr("2")}, {}}
		}},
		{"odd device", func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Name: "none", Path: ptr("")}} }},
		{"odd places of mounts", func(c *types.PluginConfig) {
			for _, place := range []string{"relative", "/a/../../up", "/double//slash", "/end/"} {
				c.Mounts = append(c.Mounts, types.PluginMount{Source: ptr("/usr"), Destination: place, Type: "bind", Options: []string{"rbind"}})
			}
		}},
		{"odd propagated mount", func(c *types.PluginConfig) { c.PropagatedMount = "dovetail-propagated/" }},
		{"odd types of mounts", func(c *types.PluginConfig) {
			for _, typ := range []string{"volume", "none", "", "npipe"} {
				c.Mounts = append(c.Mounts, types.PluginMount{Source: ptr("/usr"), Destination: "/t" + typ, Type: typ, Options: []string{"rbind"}})
			}
			c.Mounts = append(c.Mounts, types.PluginMount{Source: ptr("fs"), Destination: "/gpfs", Type: "gpfs", Options: []string{"dev=fs"}})
		}},
		{"odd options of mounts", func(c *types.PluginConfig) {
			for i, options := range [][]string{
				{"readonly", "shared", "rbind"}, {"rbind", "r"}, {"rbind", "z"}, {"rbind,ro"}, {"rbind", "consistency=cached"},
				{"rbind", "defaults"}, {"rbind", "idmap"}, {"rbind", "acl"}, {"rbind", ""}, {"rbind", " "}, nil,
			} {
				c.Mounts = append(c.Mounts, types.PluginMount{Source: ptr("/usr"), Destination: fmt.Sprintf("/o%d", i), Type: "bind", Options: options})
			}
		}},
		{"odd mount without a source", func(c *types.PluginConfig) {
			c.Mounts = []types.PluginMount{{Destination: "/scratch", Type: "tmpfs"}}
		}},
		{"odd mount at the propagated mount", func(c *types.PluginConfig) {
			c.PropagatedMount = "/dovetail-propagated"
			c.Mounts = []types.PluginMount{
				{Source: ptr("/usr"), Destination: "/dovetail-propagated", Type: "bind", Options: []string{"rbind"}},
			}
		}},
		{"odd mount below the propagated mount", func(c *types.PluginConfig) {
			c.PropagatedMount = "/dovetail-propagated"
			c.Mounts = []types.PluginMount{
				{Source: ptr("/usr"), Destination: "/dovetail-propagated/usr", Type: "bind", Options: []string{"rbind"}},
			}
		}},
		{"protocol", func(c *types.PluginConfig) { c.Interface.ProtocolScheme = "moby.plugins.http/v1" }},
		{"two interfaces", func(c *types.PluginConfig) { c.Interface.Types = append(c.Interface.Types, c.Interface.Types...) }},
	} {
		config := plugintest.Config(volume)
		c.change(&config)
		name := fmt.Sprintf("dovetail/spec%d:latest", i)
		r.create(c.name+", create", name, config)
		r.enable(c.name+", enable", name)
		r.remove(c.name+", remove", name, true)
	}
}}}
