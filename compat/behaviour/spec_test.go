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
