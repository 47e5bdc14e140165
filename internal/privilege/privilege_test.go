// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/testseed"
)

func pointer(s string) *string { return &s }

func TestOf(t *testing.T) {
	assert.Equal(t, len(Of(types.PluginConfig{})), 0)
	for _, harmless := range []string{"null", "bridge"} {
		assert.Equal(t, len(Of(types.PluginConfig{Network: types.PluginConfigNetwork{Type: harmless}})), 0)
	}
	config := types.PluginConfig{
		Network: types.PluginConfigNetwork{Type: "host"},
		IpcHost: true,
		PidHost: true,
		Mounts:  []types.PluginMount{{Source: pointer("/a")}, {Name: "settable, has no source yet"}, {Source: pointer("/b")}},
		Linux: types.PluginConfigLinux{
			Devices:         []types.PluginDevice{{Path: pointer("/dev/fuse")}, {Name: "settable"}},
			AllowAllDevices: true,
			Capabilities:    []string{"CAP_SYS_ADMIN", "CAP_NET_ADMIN"},
		},
	}
	assert.DeepEqual(t, Of(config), types.PluginPrivileges{
		{Name: "network", Description: "permissions to access a network", Value: []string{"host"}},
		{Name: "host ipc namespace", Description: "allow access to host ipc namespace", Value: []string{"true"}},
		{Name: "host pid namespace", Description: "allow access to host pid namespace", Value: []string{"true"}},
		{Name: "mount", Description: "host path to mount", Value: []string{"/a"}},
		{Name: "mount", Description: "host path to mount", Value: []string{"/b"}},
		{Name: "device", Description: "host device to access", Value: []string{"/dev/fuse"}},
		{Name: "allow-all-devices", Description: "allow 'rwm' access to all devices", Value: []string{"true"}},
		{Name: "capabilities", Description: "list of additional capabilities required", Value: []string{"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}},
	})
}

// The value of a mount has more than the source if the source does not describe
// the mount completely.
func TestOfMounts(t *testing.T) {
	mount := func(typ, source string, options ...string) types.PluginMount {
		return types.PluginMount{Type: typ, Source: &source, Destination: "/x", Options: options}
	}
	for _, tc := range []struct {
		mount types.PluginMount
		want  []string
	}{
		{mount("bind", "/a", "rbind", "rw"), []string{"/a"}},
		{mount("bind", "/a"), []string{"/a"}},
		{mount("rbind", "/a"), []string{"/a"}},
		{mount("volume", "/a", "ro,rbind"), []string{"/a"}},
		{mount("proc", "/a", " bind"), []string{"/a"}},
		{mount("tmpfs", "tmpfs", "size=1m"), []string{"tmpfs"}},
		{mount("tmpfs", ""), []string{""}},
		{mount("", "/a"), []string{"/a"}},
		{mount("proc", "tmpfs"), []string{"tmpfs (type proc at /x)"}},
		{mount("proc", "tmpfs", "", ""), []string{"tmpfs (type proc at /x, options ,)"}},
		{mount("overlay", "overlay", "lowerdir=/a", "upperdir=/etc,workdir=/w"), []string{"overlay (type overlay at /x, options lowerdir=/a,upperdir=/etc,workdir=/w)"}},
		{mount("proc", "", "rebind", "binds"), []string{"(type proc at /x, options rebind,binds)"}},
		{types.PluginMount{Type: "sysfs", Destination: "/x"}, []string{"(type sysfs at /x)"}},
		{types.PluginMount{Type: "tmpfs", Destination: "/x"}, nil},
		{types.PluginMount{Type: "bind", Destination: "/x"}, nil},
	} {
		var got []string
		for _, p := range Of(types.PluginConfig{Mounts: []types.PluginMount{tc.mount}}) {
			assert.Equal(t, p.Name, "mount")
			got = append(got, p.Value...)
		}
		assert.Check(t, is.DeepEqual(got, tc.want), "%v", tc.mount)
	}
}

// randomConfig returns a config in which each field may ask for a privilege.
func randomConfig(r *rand.Rand) types.PluginConfig {
	some := func() *string {
		if r.IntN(4) == 0 {
			return nil
		}
		return pointer([]string{"", "/a", "/b"}[r.IntN(3)])
	}
	config := types.PluginConfig{
		Network: types.PluginConfigNetwork{Type: []string{"", "null", "bridge", "none", "host"}[r.IntN(5)]},
		IpcHost: r.IntN(2) == 0,
		PidHost: r.IntN(2) == 0,
	}
	for range r.IntN(4) {
		config.Mounts = append(config.Mounts, types.PluginMount{Source: some()})
		config.Linux.Devices = append(config.Linux.Devices, types.PluginDevice{Path: some()})
		config.Linux.Capabilities = append(config.Linux.Capabilities, []string{"CAP_SYS_ADMIN", "CAP_CHOWN"}[r.IntN(2)])
	}
	config.Linux.AllowAllDevices = r.IntN(2) == 0
	return config
}

// Of returns an entry for every field that asks for a privilege, and the same
// privileges for the same config.
func TestOfSkipsNothing(t *testing.T) {
	seed := testseed.Of(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		config := randomConfig(r)
		wanted := 0
		for _, asks := range []bool{
			config.Network.Type == "none" || config.Network.Type == "host",
			config.IpcHost, config.PidHost, config.Linux.AllowAllDevices, len(config.Linux.Capabilities) > 0,
		} {
			if asks {
				wanted++
			}
		}
		for i := range config.Mounts {
			if config.Mounts[i].Source != nil {
				wanted++
			}
			if config.Linux.Devices[i].Path != nil {
				wanted++
			}
		}
		asked := Of(config)
		assert.Equal(t, len(asked), wanted, "%+v", config)
		for _, p := range asked {
			assert.Assert(t, p.Name != "" && p.Description != "" && len(p.Value) > 0)
			p.Value[0] += "changed by the caller"
		}
		assert.NilError(t, Check(Of(config), shuffle(r, Of(config))), "a change of the privileges changed the config")
	}
}

func clone(privileges types.PluginPrivileges) types.PluginPrivileges {
	copied := slices.Clone(privileges)
	for i := range copied {
		copied[i].Value = slices.Clone(copied[i].Value)
	}
	return copied
}

func random(r *rand.Rand) types.PluginPrivileges {
	all := make(types.PluginPrivileges, 1+r.IntN(5))
	for i := range all {
		all[i].Name = []string{"mount", "device", "capabilities"}[r.IntN(3)]
		for range 1 + r.IntN(4) {
			all[i].Value = append(all[i].Value, []string{"a", "b", "a b", `"a"`, ""}[r.IntN(5)])
		}
	}
	return all
}

func shuffle(r *rand.Rand, privileges types.PluginPrivileges) types.PluginPrivileges {
	shuffled := clone(privileges)
	r.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	for _, p := range shuffled {
		r.Shuffle(len(p.Value), func(i, k int) { p.Value[i], p.Value[k] = p.Value[k], p.Value[i] })
	}
	return shuffled
}

// Check accepts any permutation. It refuses a single changed, missing or added
// value.
func TestCheckIsEqualityOfMultisets(t *testing.T) {
	seed := testseed.Of(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		required := random(r)
		before := clone(required)
		granted := shuffle(r, required)
		beforeGranted := clone(granted)
		assert.NilError(t, Check(required, granted))
		assert.DeepEqual(t, required, before)
		assert.DeepEqual(t, granted, beforeGranted)

		i := r.IntN(len(granted))
		k := r.IntN(len(granted[i].Value))
		switch r.IntN(7) {
		case 0:
			granted[i].Value[k] += "x"
		case 1:
			granted[i].Value = slices.Delete(granted[i].Value, k, k+1)
		case 2:
			granted[i].Value = append(granted[i].Value, granted[i].Value[k])
		case 3:
			granted = slices.Delete(granted, i, i+1)
		case 4:
			granted = append(granted, granted[i])
		case 5:
			// Move a value to a new entry.
			granted = append(granted, types.PluginPrivilege{Name: granted[i].Name, Value: []string{granted[i].Value[k]}})
			granted[i].Value = slices.Delete(granted[i].Value, k, k+1)
		default:
			granted[i].Name += "s"
		}
		var mismatch *MismatchError
		assert.Assert(t, errors.As(Check(required, granted), &mismatch), "%v against %v", required, granted)
		assert.Assert(t, errors.As(Check(granted, required), &mismatch))
	}
}

func TestMismatchNamesBothSides(t *testing.T) {
	err := Check(
		types.PluginPrivileges{{Name: "network", Value: []string{"host"}}, {Name: "mount", Value: []string{"/a"}}},
		types.PluginPrivileges{{Name: "mount", Value: []string{"/b"}}, {Name: "network", Value: []string{"host"}}},
	)
	assert.Check(t, is.ErrorContains(err, "not granted: mount: [/a]; granted, but not asked for: mount: [/b]"))
}

func TestDiff(t *testing.T) {
	mount := func(path string) types.PluginPrivilege {
		return types.PluginPrivilege{Name: "mount", Value: []string{path}}
	}
	added, dropped := Diff(
		types.PluginPrivileges{mount("/a"), mount("/b"), mount("/b")},
		types.PluginPrivileges{mount("/c"), mount("/b"), mount("/a"), mount("/d")},
	)
	assert.DeepEqual(t, added, types.PluginPrivileges{mount("/c"), mount("/d")})
	assert.DeepEqual(t, dropped, types.PluginPrivileges{mount("/b")})
	err := &MismatchError{Missing: added, Added: added, Dropped: dropped}
	assert.Error(t, err, "incorrect privilege: not granted: mount: [/c], mount: [/d]; new in this version: mount: [/c], mount: [/d]; gone from this version: mount: [/b]")
}
