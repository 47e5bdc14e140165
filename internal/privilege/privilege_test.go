package privilege

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/docker/docker/api/types"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
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

// TestCheckIsEqualityOfMultisets accepts any permutation, and refuses any one
// value changed, missing or added.
func TestCheckIsEqualityOfMultisets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
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
		switch r.IntN(6) {
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
