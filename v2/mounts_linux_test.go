// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"slices"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
)

func bind(name, source, destination string) types.PluginMount {
	return types.PluginMount{Name: name, Source: &source, Destination: destination, Type: "bind", Options: []string{"bind"}}
}

// sourcesAt maps destinations to sources, and fails if one occurs twice.
func sourcesAt(t testing.TB, mounts []specs.Mount) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, mount := range mounts {
		_, twice := sources[mount.Destination]
		assert.Assert(t, !twice, "%s occurs twice", mount.Destination)
		sources[mount.Destination] = mount.Source
	}
	return sources
}

// TestMountsComeInDockersOrder mounts at, below, above and next to the propagated
// mount.
func TestMountsComeInDockersOrder(t *testing.T) {
	p := minimal()
	propagated := "/plugins/" + exampleID + "/propagated-mount"
	p.PluginObj.Config.PropagatedMount = "/volumes"
	p.PluginObj.Config.Network.Type = "host"
	for _, tt := range []struct {
		name   string
		mounts []types.PluginMount
		want   []string // sources that are not the default ones
	}{
		{"none", nil, []string{propagated, "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"at it", []types.PluginMount{bind("a", "/srv", "/volumes")}, []string{propagated, "/srv", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"below it", []types.PluginMount{bind("a", "/srv", "volumes//a/")}, []string{propagated, "/srv", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"at it, and next to it", []types.PluginMount{bind("a", "/srv", "/a/../volumes"), bind("b", "/b", "/a")}, []string{propagated, "/srv", "/b", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"above it", []types.PluginMount{bind("a", "/srv", "/volumes/a"), bind("b", "/b", "/volumes")}, []string{propagated, "/b", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"at it twice", []types.PluginMount{bind("a", "/a", "/volumes"), bind("b", "/b", "/volumes")}, []string{propagated, "/b", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"hidden by a later one", []types.PluginMount{bind("a", "/a", "/x/y"), bind("b", "/b", "/x")}, []string{propagated, "/b", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"hidden by the sockets", []types.PluginMount{bind("a", "/a", "/run/docker/plugins/x")}, []string{propagated, "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
		{"with the sockets in it", []types.PluginMount{bind("a", "/a", "/run")}, []string{propagated, "/a", "/exec/" + exampleID, "/etc/hosts", "/etc/resolv.conf"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.PluginObj.Config.Mounts = tt.mounts
			var sources []string
			for _, mount := range specOf(t, p).Mounts[len(oci.DefaultSpec().Mounts):] {
				sources = append(sources, mount.Source)
			}
			assert.DeepEqual(t, sources, tt.want)
		})
	}
}

func TestMountsAtOneDestination(t *testing.T) {
	sockets := "/exec/" + exampleID
	tests := []struct {
		name   string
		change func(*types.Plugin)
		want   map[string]string // what differs from docker's default mounts; empty where one is hidden
	}{
		{"sockets only", func(*types.Plugin) {}, map[string]string{pluginSockets: sockets}},
		{
			"instead of a default mount",
			func(p *types.Plugin) { p.Config.Mounts = []types.PluginMount{bind("dev", "/dev", "/dev/")} },
			map[string]string{pluginSockets: sockets, "/dev": "/dev", "/dev/pts": "", "/dev/shm": "", "/dev/mqueue": ""},
		},
		{
			"next to default mounts",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/device"), bind("b", "/b", "/sys/a")}
			},
			map[string]string{pluginSockets: sockets, "/device": "/a", "/sys/a": "/b"},
		},
		{
			"instead of two neighbours",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/proc"), bind("b", "/b", "/dev")}
			},
			map[string]string{pluginSockets: sockets, "/proc": "/a", "/dev": "/b", "/dev/pts": "", "/dev/shm": "", "/dev/mqueue": ""},
		},
		{
			"the last of several",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/x"), bind("b", "/b", "/y/../x")}
			},
			map[string]string{pluginSockets: sockets, "/x": "/b"},
		},
		{
			"sockets are never hidden",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/run/docker/plugins", "/run/docker/plugins")}
			},
			map[string]string{pluginSockets: sockets},
		},
		{
			"instead of all below",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{{Type: "tmpfs", Source: pointer("mine"), Destination: "/sys"}}
			},
			map[string]string{pluginSockets: sockets, "/sys": "mine", "/sys/fs/cgroup": ""},
		},
		{
			"name resolution",
			func(p *types.Plugin) { p.Config.Network.Type = "bridge" },
			map[string]string{pluginSockets: sockets, "/etc/hosts": "/etc/hosts", "/etc/resolv.conf": "/etc/resolv.conf"},
		},
		{
			"own name resolution",
			func(p *types.Plugin) {
				p.Config.Network.Type = "host"
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/etc//hosts")}
			},
			map[string]string{pluginSockets: sockets, "/etc/hosts": "/a", "/etc/resolv.conf": "/etc/resolv.conf"},
		},
		{
			"settings over config",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/x"), bind("", "/b", "/y"), bind("c", "/c", "/z")}
				p.Settings.Mounts = []types.PluginMount{bind("", "/set b", "/y/"), bind("a", "/set a", "/x")}
			},
			map[string]string{pluginSockets: sockets, "/x": "/set a", "/y": "/set b", "/z": "/c"},
		},
		{
			"settings of a mount that has moved",
			func(p *types.Plugin) {
				p.Config.Mounts = []types.PluginMount{bind("a", "/a", "/new")}
				p.Settings.Mounts = []types.PluginMount{bind("a", "/set", "/old")}
			},
			map[string]string{pluginSockets: sockets, "/old": "/set"},
		},
		{
			"settings only",
			func(p *types.Plugin) { p.Settings.Mounts = []types.PluginMount{bind("a", "/a", "/x")} },
			map[string]string{pluginSockets: sockets, "/x": "/a"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := minimal()
			tt.change(&p.PluginObj)
			want := sourcesAt(t, oci.DefaultSpec().Mounts)
			for destination, source := range tt.want {
				want[destination] = source
				if source == "" {
					delete(want, destination)
				}
			}
			assert.DeepEqual(t, sourcesAt(t, specOf(t, p).Mounts), want)
		})
	}
}

func TestNameResolutionOfTheHostOnly(t *testing.T) {
	p := minimal()
	p.PluginObj.Config.Network.Type = "host"
	spec, err := newSpec(p, "/exec", func(name string) bool { return name == "/etc/resolv.conf" })
	assert.NilError(t, err)
	sources := sourcesAt(t, spec.Mounts)
	_, hosts := sources["/etc/hosts"]
	assert.Assert(t, !hosts)
	assert.Equal(t, sources["/etc/resolv.conf"], "/etc/resolv.conf")
}

func TestPropagationIsSharedForThePropagatedMountOnly(t *testing.T) {
	p := minimal()
	assert.Equal(t, specOf(t, p).Linux.RootfsPropagation, "")
	p.PluginObj.Config.PropagatedMount = "/mnt"
	spec := specOf(t, p)
	assert.Equal(t, spec.Linux.RootfsPropagation, "rshared")
	last := spec.Mounts[len(spec.Mounts)-2:]
	assert.DeepEqual(t, last[0].Options, []string{"rbind", "rw", "rshared"})
	assert.Equal(t, last[1].Destination, pluginSockets, "a propagated mount can hide the sockets")
}

func TestUnsetBindsAreLeftOut(t *testing.T) {
	p := minimal()
	key := types.PluginMount{Name: "key", Type: "bind", Source: pointer(""), Destination: "/root/.ssh", Settable: []string{"source"}, Options: []string{"rbind"}}
	scratch := types.PluginMount{Name: "scratch", Type: "tmpfs", Source: pointer(""), Destination: "/scratch"}
	p.PluginObj.Config.Mounts = []types.PluginMount{key, scratch}
	at := func(destination string) func(specs.Mount) bool {
		return func(m specs.Mount) bool { return m.Destination == destination }
	}
	spec := specOf(t, p)
	assert.Check(t, !slices.ContainsFunc(spec.Mounts, at("/root/.ssh")))
	assert.Check(t, slices.ContainsFunc(spec.Mounts, at("/scratch")), "a tmpfs needs no source")
	p.InitEmptySettings()
	assert.NilError(t, p.Set([]string{"key.source=/home/me/.ssh"}))
	assert.Check(t, slices.ContainsFunc(specOf(t, p).Mounts, at("/root/.ssh")))
}

func TestUserMount(t *testing.T) {
	tests := []struct {
		name  string
		mount types.PluginMount
		want  specs.Mount
		err   string
	}{
		{
			"unchanged", types.PluginMount{Type: "bind", Source: pointer("/a"), Destination: "/b", Options: []string{"ro", "bind"}},
			specs.Mount{Type: "bind", Source: "/a", Destination: "/b", Options: []string{"ro", "bind"}}, "",
		},
		{
			"bind without options", types.PluginMount{Type: "bind", Source: pointer("/a"), Destination: "/b"},
			specs.Mount{Type: "bind", Source: "/a", Destination: "/b", Options: []string{"rbind"}}, "",
		},
		{
			"bind with other options", types.PluginMount{Type: "bind", Source: pointer("/a"), Destination: "b/", Options: []string{"ro"}},
			specs.Mount{Type: "bind", Source: "/a", Destination: "/b", Options: []string{"ro", "rbind"}}, "",
		},
		{
			"file system that needs no source", types.PluginMount{Type: "tmpfs", Source: pointer(""), Destination: "/b"},
			specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/b"}, "",
		},
		{
			"file system whose source is not given", types.PluginMount{Type: "tmpfs", Destination: "/b"},
			specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/b"}, "",
		},
		{
			"words that mean something", types.PluginMount{Type: "volume", Source: pointer("/a"), Destination: "/b", Options: []string{"z", "rbind, readonly", "r", "consistency=cached"}},
			specs.Mount{Type: "bind", Source: "/a", Destination: "/b", Options: []string{"rbind", "ro"}}, "",
		},
		{
			"a type that binds", types.PluginMount{Type: "rbind", Source: pointer("/a"), Destination: "/b", Options: []string{"rw"}},
			specs.Mount{Type: "bind", Source: "/a", Destination: "/b", Options: []string{"rw", "rbind"}}, "",
		},
		{
			"data of a file system", types.PluginMount{Type: "tmpfs", Source: pointer("t"), Destination: "b/../c", Options: []string{"size=1m,defaults", "readonly", "anything"}},
			specs.Mount{Type: "tmpfs", Source: "t", Destination: "/c", Options: []string{"size=1m", "ro", "anything"}}, "",
		},
		{"no source", types.PluginMount{Name: "m", Type: "bind", Destination: "/b"}, specs.Mount{}, `mount "m" has no source`},
		{"neither name nor source", types.PluginMount{Destination: "/b"}, specs.Mount{}, `mount "/b" has no source`},
		{"no destination", types.PluginMount{Name: "m", Source: pointer("/a")}, specs.Mount{}, `mount "m" has no destination below /`},
		{"over everything", types.PluginMount{Name: "m", Source: pointer("/a"), Destination: "/.."}, specs.Mount{}, `mount "m" has no destination below /`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := userMount("example", tt.mount)
			assert.DeepEqual(t, got, tt.want)
			if tt.err == "" {
				assert.NilError(t, err)
				return
			}
			assert.Error(t, err, `make spec of plugin "example": `+tt.err)
		})
	}
}
