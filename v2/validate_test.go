// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	dockererrdefs "github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// sound is the least that passes.
func sound() types.PluginConfig {
	return types.PluginConfig{Entrypoint: []string{"/plugin"}, Interface: types.PluginConfigInterface{Socket: "plugin.sock"}}
}

func withMount(change func(*types.PluginMount)) func(*types.PluginConfig) {
	return func(c *types.PluginConfig) {
		m := types.PluginMount{Name: "data", Source: pointer("/data"), Destination: "/data", Type: "bind", Options: []string{"rbind", "rw"}}
		change(&m)
		c.Mounts = append(c.Mounts, m)
	}
}

func implementing(text ...string) func(*types.PluginConfig) {
	return func(c *types.PluginConfig) {
		for _, one := range text {
			var t interfaceType
			encoded, _ := json.Marshal(one) // strings always encode
			if err := json.Unmarshal(encoded, &t); err != nil {
				panic(err)
			}
			c.Interface.Types = append(c.Interface.Types, types.PluginInterfaceType(t))
		}
	}
}

func capable(names ...string) func(*types.PluginConfig) {
	return func(c *types.PluginConfig) { c.Linux.Capabilities = names }
}

// TestValidateRefuses has what docker installs and no start can run: it is
// installed with a warning, and not started.
func TestValidateRefuses(t *testing.T) {
	long := strings.Repeat("x", maxStringBytes+1)
	tests := []struct {
		name   string
		change func(*types.PluginConfig)
		want   string
	}{
		{"no entrypoint", func(c *types.PluginConfig) { c.Entrypoint = nil }, "entrypoint is empty"},
		{"empty entrypoint", func(c *types.PluginConfig) { c.Entrypoint = []string{"", "x"} }, "entrypoint is empty"},
		{"NUL in the entrypoint", func(c *types.PluginConfig) { c.Entrypoint = []string{"/plugin", "a\x00b"} }, `entrypoint[1] "a\x00b" has a NUL byte`},
		{"long argument", func(c *types.PluginConfig) { c.Args.Value = []string{long} }, "args.value[0] \"xx"},
		{"NUL in the workdir", func(c *types.PluginConfig) { c.WorkDir = "/\x00" }, "workdir"},
		{"user with the reserved ID", func(c *types.PluginConfig) { c.User.UID = math.MaxUint32 }, `user "4294967295:0" uses the reserved ID 4294967295`},
		{"group with the reserved ID", func(c *types.PluginConfig) { c.User.GID = math.MaxUint32 }, "uses the reserved ID 4294967295"},

		{"socket that leads out", func(c *types.PluginConfig) { c.Interface.Socket = "../x/plugin.sock" }, `interface.socket "../x/plugin.sock" leads out of the directory for sockets`},
		{"socket that leads out in the end", func(c *types.PluginConfig) { c.Interface.Socket = "a/../../x" }, "leads out of the directory"},
		{"socket that leads out from the root", func(c *types.PluginConfig) { c.Interface.Socket = "//../x" }, "leads out of the directory"},
		{"socket that is the directory in the end", func(c *types.PluginConfig) { c.Interface.Socket = "/a/.." }, "names no file"},
		{"socket that is the directory", func(c *types.PluginConfig) { c.Interface.Socket = "." }, `interface.socket "." names no file`},
		{"socket that is the parent", func(c *types.PluginConfig) { c.Interface.Socket = ".." }, "leads out of the directory"},
		{"control character in the socket", func(c *types.PluginConfig) { c.Interface.Socket = "a\x1b.sock" }, `interface.socket "a\x1b.sock" does not fit into a URL`},
		{"newline in the socket", func(c *types.PluginConfig) { c.Interface.Socket = "a\n.sock" }, "does not fit into a URL"},
		{"half an escape in the socket", func(c *types.PluginConfig) { c.Interface.Socket = "100%.sock" }, "does not fit into a URL"},
		{"NUL in the socket", func(c *types.PluginConfig) { c.Interface.Socket = "a\x00" }, "interface.socket"},
		{"long socket", func(c *types.PluginConfig) { c.Interface.Socket = long[:maxSocketBytes+1] }, "has more than 107 bytes"},

		{"NUL in a device's path", func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Path: pointer("/dev/\x00")}} }, "linux.devices[0].path"},

		{"variable without a name", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Value: pointer("x")}} }, "env[0] has no name"},
		{"variable with NUL", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A\x00"}} }, `env[0] "A\x00" has a NUL byte`},
		{"value with NUL", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A", Value: pointer("\x00")}} }, `env[0] "A" has a NUL byte`},
		{"long value", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A", Value: &long}} }, `env[0] "A" has more than 131071 bytes`},

		{"long options", withMount(func(m *types.PluginMount) {
			m.Type, m.Options = "overlay", []string{"lowerdir=" + long[:maxOptionBytes]}
		}), "mounts[0].options have more than 4095 bytes"},
		{"no destination", withMount(func(m *types.PluginMount) { m.Destination = "" }), "mounts[0].destination would hide"},
		{"destination that hides all in the end", withMount(func(m *types.PluginMount) { m.Destination = "a/../.." }), "would hide the plugin's root file system"},
		{"NUL in an option", withMount(func(m *types.PluginMount) { m.Options = []string{"a\x00"} }), "mounts[0].options"},
		{"destination that hides all", withMount(func(m *types.PluginMount) { m.Destination = "//" }), "would hide the plugin's root file system"},
		{"long destination", withMount(func(m *types.PluginMount) { m.Destination = "/" + long[:maxPathBytes] }), "has more than 4095 bytes"},
		{"NUL in the source", withMount(func(m *types.PluginMount) { m.Source = pointer("/\x00") }), "mounts[0].source"},

		{"propagated mount that leads up", func(c *types.PluginConfig) { c.PropagatedMount = "/data/.." }, "propagatedMount \"/data/..\" would hide"},
		{"propagated mount over all", func(c *types.PluginConfig) { c.PropagatedMount = "/" }, "propagatedMount \"/\" would hide"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := sound()
			tt.change(&config)
			// Where users are shown it a NUL byte is refused already.
			installs := ValidateConfig(config)
			assert.Check(t, installs == nil || strings.Contains(installs.Error(), `\x00" has control or invisible characters`), "%v", installs)
			warnings := strings.Join(ConfigWarnings(config), "\n")
			assert.Check(t, is.Contains(warnings, tt.want))
			assert.Check(t, is.Contains(warnings, "; the plugin can't be enabled"))
			err := startable(config).Validate()
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, &InvalidConfigError{})
			assert.Check(t, dockererrdefs.IsInvalidParameter(err) && errdefs.IsInvalidArgument(err))
			assert.Check(t, len(err.Error()) < 400, "the error is as long as what is wrong")
			var problem *ConfigProblemError
			assert.Assert(t, errors.As(err, &problem))
			assert.Check(t, strings.HasPrefix(tt.want, problem.Field) || strings.Contains(err.Error(), tt.want))
		})
	}
}

// startable is a plugin of a config, with nothing set.
func startable(config types.PluginConfig) *Plugin {
	p := &Plugin{PluginObj: types.Plugin{Config: config}}
	p.InitEmptySettings()
	return p
}

func TestValidateListsAll(t *testing.T) {
	p := startable(types.PluginConfig{
		Interface:       types.PluginConfigInterface{Socket: "../x"},
		PropagatedMount: "/",
		Env:             []types.PluginEnv{{Name: "SECRET", Value: pointer("hunter2\x00")}, {Value: pointer("hunter3")}},
	})
	p.PluginObj.Settings = types.PluginSettings{}
	assert.Error(t, p.Validate(), `invalid plugin config: entrypoint is empty: name the program to start; `+
		`interface.socket "../x" leads out of the directory for sockets; `+
		`env[0] "SECRET" has a NUL byte; `+
		`env[1] has no name; `+
		`propagatedMount "/" would hide the plugin's root file system`)
}

// TestConfigWarnings has what docker runs and does not mean what it says.
func TestConfigWarnings(t *testing.T) {
	bindWith := func(options ...string) func(*types.PluginConfig) {
		return withMount(func(m *types.PluginMount) { m.Options = options })
	}
	socket := func(socket string) func(*types.PluginConfig) {
		return func(c *types.PluginConfig) { c.Interface.Socket = socket }
	}
	for _, tt := range []struct {
		name   string
		change func(*types.PluginConfig)
		want   []string
	}{
		{"nothing", func(*types.PluginConfig) {}, nil},
		{"a sound mount", bindWith("rbind", "ro", "rslave", "nosuid", "rro"), nil},
		{"network", func(c *types.PluginConfig) { c.Network.Type = "storage_internal" }, []string{`network.type "storage_internal" is not a documented type: the plugin gets a separate network namespace without a network`}},
		{"no socket", socket(""), []string{"interface.socket is empty: name the socket that the plugin makes below /run/docker/plugins; the plugin can't be enabled"}},
		{"socket in a directory", socket("csi/csi.sock"), nil},
		{"socket with a slash before it", socket("/v.sock"), nil},
		{"socket with dots", socket("./a/../v.sock"), nil},
		{"types", implementing("/1.0", "docker.volume driver/1.0", `docker.volumedriver/"`, "docker.volumedriv\u00e9r/1.0"), []string{
			`interface.types[0] "./1.0" names no capability: want PREFIX.CAPABILITY/VERSION`,
			`interface.types[1] "docker.volume driver/1.0" is not of the form PREFIX.CAPABILITY/VERSION: docker reads it differently`,
			`interface.types[2] "docker.volumedriver/\"" is not of the form PREFIX.CAPABILITY/VERSION: docker reads it differently`,
			`interface.types[3] "docker.volumedrivér/1.0" is not of the form PREFIX.CAPABILITY/VERSION: docker reads it differently`,
		}},
		{"capabilities", capable("CAP_CHOWN", "cap_sys_admin", "mknod", "ALL", "", "CAP_CAP_CHOWN"), []string{
			`linux.capabilities[3] "ALL" is not a capability of Linux, see capabilities(7): it is left out`,
			`linux.capabilities[4] is not a capability of Linux, see capabilities(7): it is left out`,
			`linux.capabilities[5] "CAP_CAP_CHOWN" is not a capability of Linux, see capabilities(7): it is left out`,
		}},
		{"devices", func(c *types.PluginConfig) {
			c.Linux.Devices = []types.PluginDevice{{Name: "fuse"}, {Path: pointer("")}, {Name: "late", Settable: []string{"path"}}}
		}, []string{
			`linux.devices[0].path of device "fuse" is empty, and not settable: it is left out`,
			`linux.devices[1].path of device "" is empty, and not settable: it is left out`,
		}},
		{"variables", func(c *types.PluginConfig) {
			c.Env = []types.PluginEnv{{Name: "A B"}, {Name: "A=B", Value: pointer("x")}, {Name: "\t", Value: pointer("")}, {}}
		}, []string{
			`env[0] "A B" is not a name that shells accept`, `env[1] "A=B" is not a name that shells accept`, `env[2] "\t" is not a name that shells accept`,
			"env[3] has no name: it is left out",
		}},
		{"destinations", func(c *types.PluginConfig) {
			for _, destination := range []string{"data", "/a/../../b", "/a//b", "/x/"} {
				c.Mounts = append(c.Mounts, types.PluginMount{Destination: destination, Source: pointer("/data"), Type: "bind"})
			}
			c.PropagatedMount = "mnt/volumes"
		}, []string{
			`mounts[0].destination "data" is not absolute and clean: it is read as /data`,
			`mounts[1].destination "/a/../../b" is not absolute and clean: it is read as /b`,
			`mounts[2].destination "/a//b" is not absolute and clean: it is read as /a/b`,
			`propagatedMount "mnt/volumes" is not absolute and clean: it is read as /mnt/volumes`,
		}},
		{"mount types", func(c *types.PluginConfig) {
			for _, typ := range []string{"volume", "gpfs", "fuse.sshfs", "none", "", "rbind"} {
				m := types.PluginMount{Destination: "/x", Source: pointer("/data"), Type: typ}
				if typ == "volume" || typ == "none" {
					m.Options = []string{"rbind"}
				}
				c.Mounts = append(c.Mounts, m)
			}
		}, []string{
			`mounts[0].type "volume" is ignored: the mount's options make it a bind`,
			`mounts[1].type "gpfs" is not a file system of the Linux kernel: it needs a module`,
			"mounts[4].type is empty, and no option says bind: runtimes can't mount it",
		}},
		{"words", bindWith("rbind", "readonly", "r", "z,Z", "consistency=cached", "=x", "defaults", "idmap", "size=1m", "acl"), []string{
			`mounts[0].options "readonly" is read as ro`,
			`mounts[0].options "r" has no effect on this mount: it is left out`,
			`mounts[0].options "z" has no effect on this mount: it is left out`,
			`mounts[0].options "Z" has no effect on this mount: it is left out`,
			`mounts[0].options "consistency=cached" has no effect on this mount: it is left out`,
			`mounts[0].options "=x" has no effect on this mount: it is left out`,
			`mounts[0].options "defaults" has no effect on this mount: it is left out`,
			`mounts[0].options "idmap" has no effect on this mount: it is left out`,
			`mounts[0].options "size=1m" has no effect on this mount: it is left out`,
			`mounts[0].options "acl" has no effect on this mount: it is left out`,
		}},
		{"words of a file system", withMount(func(m *types.PluginMount) {
			m.Type, m.Options = "ext4", []string{"acl", "data=ordered", "defaults", "ro,noatime"}
		}), []string{`mounts[0].options "defaults" has no effect on this mount: it is left out`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := sound()
			tt.change(&config)
			assert.NilError(t, ValidateConfig(config))
			warnings := ConfigWarnings(config)
			if len(tt.want) == 0 {
				assert.Check(t, is.Len(warnings, 0))
				return
			}
			assert.Check(t, is.DeepEqual(warnings, tt.want))
		})
	}
}

// TestValidateConfigRefuses checks configs that endanger the user who installs a
// plugin. Displayed text is checked only before the grant.
func TestValidateConfigRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*types.PluginConfig)
		want   string
		starts bool
	}{
		{"many arguments", func(c *types.PluginConfig) { c.Args.Value = make([]string, maxListEntries+1) }, "args.value has more than 4096 entries", true},
		{"invisible text", withMount(func(m *types.PluginMount) { m.Name = "a\u200bb" }), "mounts[0].name", true},
		{"a gap", withMount(func(m *types.PluginMount) { m.Source = pointer("/a          b") }), "mounts[0].source", true},
		{"control characters", func(c *types.PluginConfig) { c.Description = "a\x1b[2K" }, "description", true},
		{"the host's devices", withMount(func(m *types.PluginMount) { m.Type, m.Options = "devtmpfs", nil }), "mounts[0].type", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := sound()
			tt.change(&config)
			err := ValidateConfig(config)
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, &InvalidConfigError{})
			assert.Check(t, is.Equal(startable(config).Validate() == nil, tt.starts))
		})
	}
}

// TestValidateConfigAccepts checks odd configs that docker runs.
func TestValidateConfigAccepts(t *testing.T) {
	tests := map[string]func(*types.PluginConfig){
		"the least":                func(*types.PluginConfig) {},
		"everything":               func(c *types.PluginConfig) { *c = example().PluginObj.Config },
		"types of every form":      implementing("docker.volumedriver/1.0", "volumedriver", "docker.volumedriver", "volumedriver/1.0", "org.example.thing/2-beta"),
		"capabilities in any form": capable("CAP_SYS_ADMIN", "cap_net_admin", "SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"),
		"settable devices": func(c *types.PluginConfig) {
			c.Linux.Devices = []types.PluginDevice{{Name: "a", Settable: []string{"path"}}, {Name: "b", Path: pointer(""), Settable: []string{"path"}}, {Path: pointer("/dev/fuse")}}
		},
		"odd variables": func(c *types.PluginConfig) {
			c.Env = []types.PluginEnv{{Name: "a.b-c"}, {Name: "a.b-c", Value: pointer("x=y\n")}, {Name: "\u00fc"}}
		},
		"settable mount":          withMount(func(m *types.PluginMount) { m.Source, m.Settable = nil, []string{"source"} }),
		"mount with empty source": withMount(func(m *types.PluginMount) { m.Source, m.Settable = pointer(""), []string{"source"} }),
		"slash at the end":        withMount(func(m *types.PluginMount) { m.Destination = "/data/" }),
		"no type":                 withMount(func(m *types.PluginMount) { m.Type = "" }),
		"no options":              withMount(func(m *types.PluginMount) { m.Options = nil }),
		"options in one":          withMount(func(m *types.PluginMount) { m.Options = []string{"rbind,rw,rshared", ""} }),
		"option with a value":     withMount(func(m *types.PluginMount) { m.Options = []string{"rbind", "consistency=cached"} }),
		"option of volumes":       withMount(func(m *types.PluginMount) { m.Options = []string{"rbind", "z"} }),
		"temporary files": withMount(func(m *types.PluginMount) {
			m.Type, m.Options = "tmpfs", []string{"size=64m", "mode=1777", "noswap", "tmpcopyup"}
		}),
		"network file system": withMount(func(m *types.PluginMount) {
			m.Type, m.Options = "nfs4", []string{"addr=10.0.0.1", "nolock", "vers=4.2"}
		}),
		"file system of FUSE": withMount(func(m *types.PluginMount) { m.Type, m.Options = "fuse.sshfs", []string{"allow_other"} }),
		"propagated mount":    func(c *types.PluginConfig) { c.PropagatedMount = "/mnt/volumes/" },
	}
	for _, network := range networkTypes {
		tests["network "+network] = func(c *types.PluginConfig) { c.Network.Type = network }
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			config := sound()
			change(&config)
			assert.NilError(t, ValidateConfig(config))
		})
	}
}

// Configs of the forms that authors of plugins publish, and records that docker
// wrote.
func TestValidateAcceptsWhatIsPublished(t *testing.T) {
	configs, err := filepath.Glob("testdata/configs/*.json")
	assert.NilError(t, err)
	assert.Check(t, len(configs) > 0)
	for _, name := range configs {
		data, err := os.ReadFile(name)
		assert.NilError(t, err)
		config, err := ParseConfig(data)
		assert.NilError(t, err, name)
		assert.NilError(t, ValidateConfig(config), name)
	}
	records, err := filepath.Glob("testdata/records/*.json")
	assert.NilError(t, err)
	assert.Check(t, len(records) > 0)
	for _, name := range records {
		data, err := os.ReadFile(name)
		assert.NilError(t, err)
		p := new(Plugin)
		assert.NilError(t, json.Unmarshal(data, p), name)
		assert.NilError(t, p.Validate(), name)
	}
}

func TestValidateLooksAtSettings(t *testing.T) {
	assert.NilError(t, example().Validate())
	odd := example()
	odd.PluginObj.Settings.Env = append(odd.PluginObj.Settings.Env, "as a user wants=it")
	assert.NilError(t, odd.Validate())
	for want, change := range map[string]func(*types.PluginSettings){
		`settings.mounts[0].destination "/.."`: func(s *types.PluginSettings) { s.Mounts = []types.PluginMount{{Destination: "/.."}} },
		"settings.args[1]":                     func(s *types.PluginSettings) { s.Args = []string{"a", "\x00"} },
		"settings.env[0] has no name":          func(s *types.PluginSettings) { s.Env = []string{"=x"} },
		`settings.env[0] "A" has a NUL byte`:   func(s *types.PluginSettings) { s.Env = []string{"A=\x00"} },
		"settings.devices[0].path":             func(s *types.PluginSettings) { s.Devices = []types.PluginDevice{{Path: pointer("\x00")}} },
	} {
		p := example()
		change(&p.PluginObj.Settings)
		err := p.Validate()
		assert.Check(t, is.ErrorContains(err, want))
		assert.ErrorType(t, err, &InvalidConfigError{})
	}
}
