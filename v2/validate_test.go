package v2

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/errdefs"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

// sound is the least that passes.
func sound() types.PluginConfig {
	return types.PluginConfig{Entrypoint: []string{"/plugin"}}
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

func TestValidateConfigRefuses(t *testing.T) {
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
		{"many arguments", func(c *types.PluginConfig) { c.Args.Value = make([]string, maxListEntries+1) }, "args.value has more than 4096 entries"},
		{"NUL in the workdir", func(c *types.PluginConfig) { c.WorkDir = "/\x00" }, "workdir"},
		{"user that is nobody's", func(c *types.PluginConfig) { c.User.UID = math.MaxUint32 }, `user "4294967295:0" is nobody's id`},
		{"group that is nobody's", func(c *types.PluginConfig) { c.User.GID = math.MaxUint32 }, "is nobody's id"},
		{"unknown network", func(c *types.PluginConfig) { c.Network.Type = "container:x" }, `network.type "container:x" is not known: use bridge, host, none, null or nothing`},

		{"socket with a directory", func(c *types.PluginConfig) { c.Interface.Socket = "a/b.sock" }, `interface.socket "a/b.sock" is not a plain file name`},
		{"socket that leads out", func(c *types.PluginConfig) { c.Interface.Socket = "../x/plugin.sock" }, "is not a plain file name"},
		{"absolute socket", func(c *types.PluginConfig) { c.Interface.Socket = "/run/docker.sock" }, "is not a plain file name"},
		{"socket that is the directory", func(c *types.PluginConfig) { c.Interface.Socket = "." }, "is not a plain file name"},
		{"socket that is the parent", func(c *types.PluginConfig) { c.Interface.Socket = ".." }, "is not a plain file name"},
		{"NUL in the socket", func(c *types.PluginConfig) { c.Interface.Socket = "a\x00" }, "interface.socket"},
		{"long socket", func(c *types.PluginConfig) { c.Interface.Socket = long[:maxSocketBytes+1] }, "has more than 107 bytes"},

		{"type without a capability", implementing("docker.volumedriver/1.0", "/1.0"), "interface.types[1]"},
		{"empty type", implementing(""), "interface.types[0] \"./\" names no capability"},
		{"type with a space", implementing("docker.volume driver/1.0"), "is not of the form PREFIX.CAPABILITY/VERSION"},
		{"type with a quote", implementing(`docker.volumedriver/"`), "is not of the form"},
		{"type that is not ASCII", implementing("docker.volumedriv\u00e9r/1.0"), "is not of the form"},

		{"unknown capability", capable("CAP_CHOWN", "CAP_FLY"), `linux.capabilities[1] "CAP_FLY" is not a capability of Linux`},
		{"all capabilities", capable("ALL"), `"ALL" is not a capability`},
		{"empty capability", capable(""), "linux.capabilities[0] is not a capability"},

		{"device without a path", func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Name: "fuse"}} }, `linux.devices[0].path of device "fuse" is empty, and not settable`},
		{"device with an empty path", func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Path: pointer("")}} }, "linux.devices[0].path of device"},
		{"NUL in a device's path", func(c *types.PluginConfig) { c.Linux.Devices = []types.PluginDevice{{Path: pointer("/dev/\x00")}} }, "linux.devices[0].path"},

		{"variable without a name", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Value: pointer("x")}} }, "env[0] has no name"},
		{"variable with =", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A=B"}} }, `env[0] "A=B" is no name of a variable`},
		{"variable with a space", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A B"}} }, "is no name of a variable"},
		{"variable with NUL", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A\x00"}} }, "is no name of a variable"},
		{"value with NUL", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A", Value: pointer("\x00")}} }, `env[0] "A" has a NUL byte`},
		{"long value", func(c *types.PluginConfig) { c.Env = []types.PluginEnv{{Name: "A", Value: &long}} }, `env[0] "A" has more than 131071 bytes`},

		{"unknown mount type", withMount(func(m *types.PluginMount) { m.Type = "nosuchfs" }), `mounts[0].type "nosuchfs" is no file system`},
		{"unknown option of a bind mount", withMount(func(m *types.PluginMount) { m.Options = []string{"rbind", "sudo"} }), `mounts[0].options "sudo" is not an option of mounts`},
		{"unknown option behind a comma", withMount(func(m *types.PluginMount) { m.Options = []string{"rbind,sudo"} }), `"sudo" is not an option`},
		{"unknown option of an untyped bind mount", withMount(func(m *types.PluginMount) { m.Type, m.Options = "", []string{"bind", "sudo"} }), "is not an option"},
		{"option with a line break", withMount(func(m *types.PluginMount) { m.Type, m.Options = "tmpfs", []string{"size=1\n2"} }), "is not an option"},
		{"option without a name", withMount(func(m *types.PluginMount) { m.Options = []string{"=x"} }), "is not an option"},
		{"long options", withMount(func(m *types.PluginMount) {
			m.Type, m.Options = "overlay", []string{"lowerdir=" + long[:maxOptionBytes]}
		}), "mounts[0].options have more than 4095 bytes"},
		{"no destination", withMount(func(m *types.PluginMount) { m.Destination = "" }), "mounts[0].destination is not absolute"},
		{"relative destination", withMount(func(m *types.PluginMount) { m.Destination = "data" }), `mounts[0].destination "data" is not absolute`},
		{"destination that leads up", withMount(func(m *types.PluginMount) { m.Destination = "/a/../../b" }), "is not clean: write /b"},
		{"doubled slash", withMount(func(m *types.PluginMount) { m.Destination = "/a//b" }), "is not clean: write /a/b"},
		{"destination that hides all", withMount(func(m *types.PluginMount) { m.Destination = "//" }), "would hide the plugin's root file system"},
		{"long destination", withMount(func(m *types.PluginMount) { m.Destination = "/" + long[:maxPathBytes] }), "has more than 4095 bytes"},
		{"NUL in the source", withMount(func(m *types.PluginMount) { m.Source = pointer("/\x00") }), "mounts[0].source"},

		{"relative propagated mount", func(c *types.PluginConfig) { c.PropagatedMount = "data" }, "propagatedMount \"data\" is not absolute"},
		{"propagated mount that leads up", func(c *types.PluginConfig) { c.PropagatedMount = "/data/.." }, "propagatedMount \"/data/..\" is not clean: write /"},
		{"propagated mount over all", func(c *types.PluginConfig) { c.PropagatedMount = "/" }, "propagatedMount \"/\" would hide"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := sound()
			tt.change(&config)
			err := ValidateConfig(config)
			assert.Check(t, is.ErrorContains(err, tt.want))
			assert.ErrorType(t, err, ErrInvalidConfig{})
			assert.Check(t, errdefs.IsInvalidParameter(err) && cerrdefs.IsInvalidArgument(err))
			assert.Check(t, len(err.Error()) < 400, "the error is as long as what is wrong")
			var problem ErrConfigProblem
			assert.Assert(t, errors.As(err, &problem))
			assert.Check(t, strings.HasPrefix(tt.want, problem.Field) || strings.Contains(err.Error(), tt.want))
		})
	}
}

func TestValidateConfigTellsAll(t *testing.T) {
	err := ValidateConfig(types.PluginConfig{
		Network:         types.PluginConfigNetwork{Type: "x"},
		Interface:       types.PluginConfigInterface{Socket: "../x"},
		PropagatedMount: "/",
		Env:             []types.PluginEnv{{Name: "SECRET\n", Value: pointer("hunter2\x00")}, {}},
	})
	assert.Error(t, err, `invalid plugin config: entrypoint is empty: name the program to start; `+
		`network.type "x" is not known: use bridge, host, none, null or nothing; `+
		`interface.socket "../x" is not a plain file name; `+
		`env[0] "SECRET\n" is no name of a variable: leave out =, spaces and control characters; `+
		`env[1] has no name; `+
		`propagatedMount "/" would hide the plugin's root file system`)
}

// What docker runs is accepted, odd as it may be.
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
		`settings.mounts[0].destination "/../x"`: func(s *types.PluginSettings) { s.Mounts = []types.PluginMount{{Destination: "/../x"}} },
		"settings.args[1]":                       func(s *types.PluginSettings) { s.Args = []string{"a", "\x00"} },
		"settings.env[0] has no name":            func(s *types.PluginSettings) { s.Env = []string{"=x"} },
		`settings.env[0] "A" has a NUL byte`:     func(s *types.PluginSettings) { s.Env = []string{"A=\x00"} },
		"settings.devices[0].path":               func(s *types.PluginSettings) { s.Devices = []types.PluginDevice{{Path: pointer("\x00")}} },
	} {
		p := example()
		change(&p.PluginObj.Settings)
		err := p.Validate()
		assert.Check(t, is.ErrorContains(err, want))
		assert.ErrorType(t, err, ErrInvalidConfig{})
	}
}
