// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	"gotest.tools/v3/golden"

	"github.com/dovetailhq/plugin/internal/testenv"
)

func everywhere(string) bool { return true }

// specOf makes the spec of p without touching the host.
func specOf(t testing.TB, p *Plugin) *specs.Spec {
	t.Helper()
	spec, err := newSpec(p.Clone(), "/exec", everywhere)
	assert.NilError(t, err)
	return spec
}

// minimal is the least that makes a spec.
func minimal() *Plugin {
	p := &Plugin{PluginObj: types.Plugin{ID: exampleID, Name: "minimal"}, Rootfs: "/plugins/" + exampleID + "/rootfs"}
	p.PluginObj.Config.Entrypoint = []string{"/bin/plugin"}
	p.InitEmptySettings()
	return p
}

// withDevices replaces the devices by devices of every host.
func withDevices(p *Plugin) *Plugin {
	p.PluginObj.Config.Linux.Devices = []types.PluginDevice{
		{Name: "null", Path: pointer("/dev/null"), Settable: []string{"path"}},
		{Name: "unset"},
		{Name: "empty", Path: pointer("")},
	}
	p.InitEmptySettings()
	return p
}

func TestGoldenSpecs(t *testing.T) {
	tests := []struct {
		name   string
		plugin func(t *testing.T) *Plugin
	}{
		{"minimal", func(*testing.T) *Plugin { return minimal() }},
		{"everything", func(*testing.T) *Plugin { return withDevices(example()) }},
		{"settings", func(t *testing.T) *Plugin {
			p := withDevices(example())
			assert.NilError(t, p.Set([]string{
				"DEBUG=1", "TOKEN=a=b", "state=/srv/other state", "null=/dev/zero", "flags=--greeting 'hello world'",
			}))
			return p
		}},
		{"host", func(*testing.T) *Plugin {
			p := minimal()
			p.PluginObj.Config.Network.Type = "host"
			p.PluginObj.Config.PidHost = true
			p.PluginObj.Config.IpcHost = true
			p.PluginObj.Config.Linux.AllowAllDevices = true
			p.PluginObj.Config.Mounts = []types.PluginMount{{
				Name: "dev", Type: "bind", Source: pointer("/dev"), Destination: "/dev", Options: []string{"rbind"},
			}}
			return p
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := specOf(t, tt.plugin(t))
			assert.DeepEqual(t, spec.Linux.MaskedPaths, oci.DefaultSpec().Linux.MaskedPaths)
			spec.Linux.MaskedPaths = nil // depends on the host's processors
			assert.Equal(t, spec.Version, specs.Version)
			spec.Version = "1.2.1" // depends on the version of runtime-spec
			golden.Assert(t, indent(t, encode(spec)), "spec/"+tt.name+".golden.json")
		})
	}
}

func TestSettingsTakeEffectAfterARestart(t *testing.T) {
	p := withDevices(example())
	assert.NilError(t, p.Set([]string{"DEBUG=1", "state=/other", "null=/dev/zero", "flags=a 'b c'"}))
	restarted := new(Plugin)
	assert.NilError(t, json.Unmarshal(encode(p), restarted))
	assert.DeepEqual(t, specOf(t, restarted), specOf(t, p))
}

func TestProcess(t *testing.T) {
	tests := []struct {
		name   string
		change func(*types.Plugin)
		look   func(*specs.Process) any
		want   any
	}{
		{
			"default environment", func(*types.Plugin) {},
			func(p *specs.Process) any { return p.Env },
			[]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		{
			"environment after PATH",
			func(p *types.Plugin) { p.Settings.Env = []string{"A=1", "PATHS=x"} },
			func(p *specs.Process) any { return p.Env[1:] },
			[]string{"A=1", "PATHS=x"},
		},
		{
			"own PATH",
			func(p *types.Plugin) { p.Settings.Env = []string{"A=1", "PATH=/opt"} },
			func(p *specs.Process) any { return p.Env },
			[]string{"A=1", "PATH=/opt"},
		},
		{
			"args", func(p *types.Plugin) { p.Settings.Args = []string{"a b", ""} },
			func(p *specs.Process) any { return p.Args },
			[]string{"/bin/plugin", "a b", ""},
		},
		{"default directory", func(*types.Plugin) {}, func(p *specs.Process) any { return p.Cwd }, "/"},
		{
			"directory", func(p *types.Plugin) { p.Config.WorkDir = "/work" },
			func(p *specs.Process) any { return p.Cwd }, "/work",
		},
		{
			"relative directory", func(p *types.Plugin) { p.Config.WorkDir = "work/../x" },
			func(p *specs.Process) any { return p.Cwd }, "/x",
		},
		{"root", func(*types.Plugin) {}, func(p *specs.Process) any { return p.User }, specs.User{}},
		{
			"user", func(p *types.Plugin) { p.Config.User = types.PluginConfigUser{UID: 1, GID: 2} },
			func(p *specs.Process) any { return p.User }, specs.User{UID: 1, GID: 2},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := minimal()
			tt.change(&p.PluginObj)
			assert.DeepEqual(t, tt.look(specOf(t, p).Process), tt.want)
		})
	}
}

func TestCapabilities(t *testing.T) {
	p := minimal()
	p.PluginObj.Config.Linux.Capabilities = []string{"cap_sys_admin", "CHOWN", "CAP_SYS_ADMIN", "ALL", ""}
	defaults := oci.DefaultSpec().Process.Capabilities.Bounding
	got := specOf(t, p).Process.Capabilities
	for name, set := range map[string][]string{
		"bounding": got.Bounding, "permitted": got.Permitted, "effective": got.Effective,
	} {
		assert.DeepEqual(t, set, append(slices.Clone(defaults), "CAP_SYS_ADMIN"))
		assert.Check(t, len(set) == len(slices.Compact(slices.Sorted(slices.Values(set)))), "%s has duplicates", name)
	}
	assert.DeepEqual(t, got.Inheritable, []string{"CAP_SYS_ADMIN", "CAP_CHOWN"})
	assert.Equal(t, len(got.Ambient), 0)
}

func TestNamespaces(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*types.PluginConfig)
		without []specs.LinuxNamespaceType
	}{
		{"all of docker's", func(*types.PluginConfig) {}, nil},
		{"bridge", func(c *types.PluginConfig) { c.Network.Type = "bridge" }, nil},
		{"host network", func(c *types.PluginConfig) { c.Network.Type = "host" }, []specs.LinuxNamespaceType{specs.NetworkNamespace}},
		{"host pid", func(c *types.PluginConfig) { c.PidHost = true }, []specs.LinuxNamespaceType{specs.PIDNamespace}},
		{"host ipc", func(c *types.PluginConfig) { c.IpcHost = true }, []specs.LinuxNamespaceType{specs.IPCNamespace}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := minimal()
			tt.change(&p.PluginObj.Config)
			want := slices.DeleteFunc(oci.DefaultSpec().Linux.Namespaces, func(n specs.LinuxNamespace) bool {
				return slices.Contains(tt.without, n.Type)
			})
			assert.DeepEqual(t, specOf(t, p).Linux.Namespaces, want)
		})
	}
}

func TestDevices(t *testing.T) {
	rules := oci.DefaultSpec().Linux.Resources.Devices
	null := []types.PluginDevice{{Name: "null", Path: pointer("/dev/null")}}
	tests := []struct {
		name      string
		allowAll  bool
		devices   []types.PluginDevice
		wantNodes []string
		wantRules int // beyond docker's
	}{
		{"none", false, nil, nil, 0},
		{"unset and empty", false, []types.PluginDevice{{Name: "a"}, {Name: "b", Path: pointer("")}}, nil, 0},
		{"one", false, null, []string{"/dev/null"}, 1},
		{"all", true, nil, nil, 1 - len(rules)},
		{"all and one", true, null, []string{"/dev/null"}, 1 - len(rules)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := minimal()
			p.PluginObj.Config.Linux.AllowAllDevices = tt.allowAll
			p.PluginObj.Settings.Devices = tt.devices
			spec := specOf(t, p)
			var nodes []string
			for _, device := range spec.Linux.Devices {
				nodes = append(nodes, device.Path)
			}
			assert.DeepEqual(t, nodes, tt.wantNodes)
			got := spec.Linux.Resources.Devices
			assert.Equal(t, len(got), len(rules)+tt.wantRules)
			assert.Equal(t, got[0], specs.LinuxDeviceCgroup{Allow: tt.allowAll, Access: "rwm"})
			assert.Equal(t, got[len(got)-1].Access, "rwm")
		})
	}
}

func TestInitSpecRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Plugin)
		want   string
	}{
		{"no id", func(p *Plugin) { p.PluginObj.ID = "" }, `id "" names no directory`},
		{"id that leads elsewhere", func(p *Plugin) { p.PluginObj.ID = "../x" }, `id "../x" names no directory`},
		{"id that is the parent", func(p *Plugin) { p.PluginObj.ID = ".." }, `id ".." names no directory`},
		{"no rootfs", func(p *Plugin) { p.Rootfs = "" }, "it has no rootfs"},
		{"no entrypoint", func(p *Plugin) { p.PluginObj.Config.Entrypoint = nil }, "its config has no entrypoint"},
		{"missing device", func(p *Plugin) {
			p.PluginObj.Settings.Devices = []types.PluginDevice{{Name: "disk", Path: pointer("/dev/no-such-device")}}
		}, `device "disk"`},
		{"mount without source", func(p *Plugin) {
			p.PluginObj.Config.Mounts = []types.PluginMount{{Name: "state", Destination: "/state", Type: "bind"}}
		}, `mount "state" has no source`},
		{"propagated mount over everything", func(p *Plugin) {
			p.PluginObj.Config.PropagatedMount = "/."
		}, "its propagated mount would hide its rootfs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			execRoot := t.TempDir()
			p := minimal()
			tt.change(p)
			spec, err := p.InitSpec(execRoot)
			assert.Assert(t, spec == nil)
			assert.ErrorType(t, err, &InvalidSpecError{})
			assert.ErrorContains(t, err, `"minimal": `+tt.want)
			left, err := os.ReadDir(execRoot)
			assert.NilError(t, err)
			assert.Equal(t, len(left), 0)
		})
	}
}

func TestInitSpecMakesTheSocketDirectory(t *testing.T) {
	execRoot := filepath.Join(t.TempDir(), "not", "there", "yet")
	p := minimal()
	for range 2 {
		spec, err := p.InitSpec(execRoot)
		assert.NilError(t, err)
		directory := filepath.Join(execRoot, exampleID)
		stat, err := os.Stat(directory)
		assert.NilError(t, err)
		assert.Equal(t, stat.Mode(), fs.ModeDir|0o700)
		assert.Assert(t, slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
			return m.Source == directory && m.Destination == "/run/docker/plugins"
		}))
		assert.NilError(t, os.Chmod(directory, 0o755))
	}
}

func TestInitSpecGivesTheSocketDirectoryToTheUser(t *testing.T) {
	testenv.NeedsRoot(t, "giving a directory away")
	execRoot := t.TempDir()
	p := minimal()
	p.PluginObj.Config.User = types.PluginConfigUser{UID: 1000, GID: 1001}
	_, err := p.InitSpec(execRoot)
	assert.NilError(t, err)
	stat, err := os.Stat(filepath.Join(execRoot, exampleID))
	assert.NilError(t, err)
	assert.Equal(t, stat.Sys().(*syscall.Stat_t).Uid, uint32(1000))
	assert.Equal(t, stat.Sys().(*syscall.Stat_t).Gid, uint32(1001))
}

func TestInitSpecCantMakeTheSocketDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	assert.NilError(t, os.WriteFile(file, nil, 0o600))
	_, err := minimal().InitSpec(file)
	assert.Assert(t, errdefs.IsInternal(err), "%v", err)
	assert.ErrorIs(t, err, syscall.ENOTDIR)
}

func TestSpecModifierComesLast(t *testing.T) {
	p := minimal()
	p.SetSpecOptModifier(func(s *specs.Spec) {
		assert.Assert(t, len(s.Process.Args) > 0 && len(s.Mounts) > 0, "the spec is not complete yet")
		assert.Equal(t, p.Name(), "minimal") // no lock is held
		s.Hostname = "modified"
	})
	spec, err := p.InitSpec(t.TempDir())
	assert.NilError(t, err)
	assert.Equal(t, spec.Hostname, "modified")
}

// TestSpecIsGivenUpAfterItsModifier ends the wait for the second look at the host.
// The look continues, and uses the spec.
func TestSpecIsGivenUpAfterItsModifier(t *testing.T) {
	for range 20 {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := minimal()
		gone := errors.New("the caller has gone")
		p.SetSpecOptModifier(func(*specs.Spec) { cancel(gone) })
		spec, err := p.InitSpecContext(ctx, t.TempDir())
		assert.Check(t, spec == nil || err == nil)
		if err != nil {
			assert.ErrorIs(t, err, gone)
		}
	}
}

// TestSpecsShareNoMemory scribbles over one spec: neither the plugin nor the
// next spec notices.
func TestSpecsShareNoMemory(t *testing.T) {
	testenv.NeedsRoot(t, "giving a directory to a user")
	p := withDevices(example())
	// Spare room behind the lists of the config is what appending would write to.
	p.PluginObj.Config.Entrypoint = append(make([]string, 0, 10), "/bin/plugin")
	p.PluginObj.Config.Mounts = append(make([]types.PluginMount, 0, 10), p.PluginObj.Config.Mounts...)
	before, want := p.Snapshot(), string(encode(specOf(t, p)))

	spec, err := p.InitSpec(t.TempDir())
	assert.NilError(t, err)
	scribble(reflect.ValueOf(spec).Elem())

	assert.DeepEqual(t, p.Snapshot(), before)
	assert.Equal(t, string(encode(specOf(t, p))), want)
	assert.Equal(t, p.PluginObj.Config.Entrypoint[:2][1], "")
}

// scribble changes every text in v, also those behind slices and pointers.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("scribbled")
	case reflect.Struct:
		for i := range v.NumField() {
			scribble(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	}
}
