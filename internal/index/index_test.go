// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/ids"
	v2 "github.com/dovetailhq/plugin/v2"
)

func made(first, name string) *v2.Plugin {
	p := &v2.Plugin{PluginObj: types.Plugin{ID: first + strings.Repeat("0", 63), Name: name}, Manifest: digest.FromString(name)}
	p.PluginObj.Config.Interface.Types = []types.PluginInterfaceType{{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}}
	return p
}

// An ID of docker 1.12 leads to the plugin that was imported, also if it is a prefix of
// another ID, unless a plugin has that name.
func TestResolveOfOldIDs(t *testing.T) {
	x := New()
	imported := map[string]string{}
	for _, old := range []string{"a", "cd851ce43a403", "sshfs", "SSHFS", "my plugin"} {
		p := made("0", "imported/"+digest.FromString(old).Encoded()+":latest")
		p.PluginObj.ID = ids.FromLegacy(old)
		imported[old] = p.GetID()
		x.Add(p)
	}
	x.Add(made("ab", "other:latest"))
	for old, want := range imported {
		id, err := x.Resolve(old)
		assert.NilError(t, err, old)
		assert.Equal(t, id, want)
	}
	named := made("f", "sshfs:latest")
	x.Add(named)
	id, err := x.Resolve("sshfs")
	assert.NilError(t, err)
	assert.Equal(t, id, named.GetID())
	_, err = x.Resolve("ssh")
	assert.Check(t, is.ErrorIs(err, ErrNotFound))
}

func TestResolve(t *testing.T) {
	x := New()
	a, b := made("a", "a:latest"), made("b", "x.example/b:1")
	x.Add(a)
	x.Add(b)
	x.AddBroken("ab"+strings.Repeat("0", 62), errors.New("no record"))
	for _, tc := range []struct {
		ref  string
		want string
		err  error
	}{
		{a.GetID(), a.GetID(), nil},
		{"a:latest", a.GetID(), nil},
		{"a", a.GetID(), nil},
		{"docker.io/library/a", a.GetID(), nil},
		{"a0", a.GetID(), nil},
		{"b", b.GetID(), nil},
		{"x.example/b:1", b.GetID(), nil},
		{"x.example/b@" + b.Manifest.String(), b.GetID(), nil},
		{"x.example/b:2@" + b.Manifest.String(), "", ErrNotFound},
		{"ab", "ab" + strings.Repeat("0", 62), nil},
		{"x.example/b", "", ErrNotFound},
		{"", "", ErrNotFound},
		{"c", "", ErrNotFound},
	} {
		t.Run(tc.ref, func(t *testing.T) {
			id, err := x.Resolve(tc.ref)
			assert.Check(t, is.ErrorIs(err, tc.err))
			assert.Equal(t, id, tc.want)
		})
	}
	x.Add(made("ac", "other:latest"))
	x.Remove(a.GetID())
	_, err := x.Resolve("a")
	assert.Check(t, is.ErrorIs(err, ErrAmbiguous))
}

// An index without plugins has no keys left.
func TestRemoveForgetsAll(t *testing.T) {
	x := New()
	a := made("a", "a:latest")
	x.Add(a)
	list := x.WithCapability("volumedriver")
	x.AddBroken("b", errors.New("no record"))
	assert.Check(t, x.Has("b") && x.Has(a.GetID()) && x.IsNamed("a:latest"))
	next := made("a", "a:latest")
	next.Manifest = digest.FromString("next")
	x.Replace(a, next)
	_, err := x.Resolve("a@" + digest.FromString("next").String())
	assert.NilError(t, err)
	x.Remove(a.GetID())
	x.Remove("b")
	x.Remove("unknown")
	assert.Check(t, slices.Equal(list, []*v2.Plugin{a}), "a list that was read has changed")
	assert.Equal(t, len(x.plugins)+len(x.ordered)+len(x.broken)+len(x.names)+len(x.ids)+len(x.capabilities)+len(x.digests), 0)
}

func TestAllIsOrderedByNameAndID(t *testing.T) {
	x := New()
	first, second, third := made("c", "a:1"), made("d", "a:1"), made("a", "b:1")
	for _, p := range []*v2.Plugin{third, second, first} {
		x.Add(p)
	}
	all := x.All()
	assert.Check(t, slices.Equal(all, []*v2.Plugin{first, second, third}))
	x.Remove(first.GetID())
	assert.Check(t, slices.Equal(all, []*v2.Plugin{first, second, third}), "a list that was read has changed")
	assert.Check(t, slices.Equal(x.All(), []*v2.Plugin{second, third}))
}
