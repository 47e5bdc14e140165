// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"

	"github.com/dovetailhq/plugin/internal/pluginclient"
	"github.com/dovetailhq/plugin/internal/testseed"
	v2 "github.com/dovetailhq/plugin/v2"
)

func stored(id, name string, enabled bool, capabilities ...string) *v2.Plugin {
	p := unreachable(id, name, enabled)
	client, err := pluginclient.New(pluginclient.Options{Dir: "/", Name: "plugin.sock"})
	if err != nil {
		panic(err)
	}
	p.SetPClient(client)
	p.SetAddr(&net.UnixAddr{Net: "unix", Name: "/plugin.sock"})
	for _, capability := range capabilities {
		p.PluginObj.Config.Interface.Types = append(p.PluginObj.Config.Interface.Types,
			types.PluginInterfaceType{Prefix: "docker", Capability: capability, Version: "1.0"})
	}
	return p
}

// unreachable is a plugin as an embedder makes one, without a manager.
func unreachable(id, name string, enabled bool) *v2.Plugin {
	return &v2.Plugin{PluginObj: types.Plugin{ID: id, Name: name, Enabled: enabled}}
}

func fullID(prefix string) string { return prefix + strings.Repeat("0", 64-len(prefix)) }

func TestStoreLookup(t *testing.T) {
	ps := NewStore()
	for _, p := range []*v2.Plugin{
		stored(fullID("aa1"), "dovetail/one:latest", true),
		stored(fullID("aa2"), "dovetail/two:v2", true),
		stored(fullID("bb"), "registry.example:5000/three:latest", true),
		stored(fullID("cc"), "bb:latest", true),
	} {
		assert.NilError(t, ps.Add(p))
	}
	for _, tc := range []struct {
		ref, want string
		err       error
	}{
		{ref: fullID("aa1"), want: "aa1"},
		{ref: "dovetail/one:latest", want: "aa1"},
		{ref: "dovetail/one", want: "aa1"},
		{ref: "docker.io/dovetail/one", want: "aa1"},
		{ref: "index.docker.io/dovetail/one:latest", want: "aa1"},
		{ref: "dovetail/two:v2", want: "aa2"},
		{ref: "registry.example:5000/three", want: "bb"},
		{ref: "aa1", want: "aa1"},
		{ref: fullID("aa2")[:63], want: "aa2"},
		{ref: "bb", want: "cc"}, // a name goes before a prefix
		{ref: "dovetail/two", err: &NotFoundError{}},
		{ref: "dd", err: &NotFoundError{}},
		{ref: "zz", err: &NotFoundError{}},
		{ref: "", err: &NotFoundError{}},
		{ref: "NOT A REF", err: &NotFoundError{}},
		{ref: fullID("aa1") + "0", err: &NotFoundError{}},
		{ref: "aa", err: &AmbiguousError{}},
		{ref: "a", err: &AmbiguousError{}},
	} {
		p, err := ps.GetV2Plugin(tc.ref)
		if tc.err != nil {
			assert.Check(t, is.ErrorType(err, tc.err), "%q", tc.ref)
			assert.Check(t, is.ErrorContains(err, fmt.Sprintf("%q", tc.ref)))
			continue
		}
		if assert.Check(t, err, "%q", tc.ref) {
			assert.Check(t, is.Equal(p.GetID(), fullID(tc.want)), "%q", tc.ref)
		}
	}
}

func TestStoreErrorsHaveDockersClasses(t *testing.T) {
	ps := NewStore()
	assert.NilError(t, ps.Add(stored(fullID("a1"), "off:latest", false, "volumedriver")))
	assert.NilError(t, ps.Add(stored(fullID("a2"), "on:latest", true, "volumedriver")))

	_, err := ps.Get("dovetail/absent", "volumedriver", plugingetter.Lookup)
	assert.Check(t, errdefs.IsNotFound(err), "%v", err)
	_, err = ps.Get("a", "volumedriver", plugingetter.Lookup)
	assert.Check(t, errdefs.IsInvalidArgument(err), "%v", err)
	_, err = ps.Get("off", "volumedriver", plugingetter.Lookup)
	assert.Check(t, errdefs.IsConflict(err), "%v", err)
	assert.Check(t, is.ErrorType(err, &DisabledError{}))
	_, err = ps.Get("on", "networkdriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, v2.ErrInadequateCapability{}))
	err = ps.Add(stored(fullID("a2"), "other:latest", true))
	assert.Check(t, errdefs.IsConflict(err), "%v", err)
	err = ps.Add(stored(fullID("a3"), "on:latest", true))
	assert.Check(t, is.ErrorType(err, &ExistsError{}))
}

func TestStoreGetCountsReferences(t *testing.T) {
	ps := NewStore()
	p := stored(fullID("a"), "on:latest", true, "volumedriver")
	assert.NilError(t, ps.Add(p))
	got, err := ps.Get("on", "VolumeDriver", plugingetter.Acquire)
	assert.NilError(t, err)
	assert.Equal(t, got.Name(), "on:latest")
	assert.Equal(t, p.GetRefCount(), 1)
	for range 3 {
		_, err = ps.Get("on", "volumedriver", plugingetter.Release)
		assert.NilError(t, err)
	}
	assert.Equal(t, p.GetRefCount(), 0, "never below zero")
}

func TestStoreHandsOutCopies(t *testing.T) {
	ps := NewStore()
	value := "x"
	p := stored(fullID("a"), "on:latest", true, "volumedriver")
	p.PluginObj.Config.Env = []types.PluginEnv{{Name: "A", Value: &value}}
	assert.NilError(t, ps.Add(p))

	all := ps.GetAll()
	taken := all[fullID("a")]
	*taken.PluginObj.Config.Env[0].Value = "changed"
	taken.PluginObj.Name = "changed"
	taken.SetEnabled(false)
	delete(all, fullID("a"))

	again := ps.GetAll()[fullID("a")]
	assert.Equal(t, again.Name(), "on:latest")
	assert.Equal(t, *again.PluginObj.Config.Env[0].Value, "x")
	assert.Check(t, again.IsEnabled())

	again.Acquire()
	assert.Equal(t, p.GetRefCount(), 1, "a reference to a copy is one to the plugin")
}

func TestStoreByCapability(t *testing.T) {
	ps := NewStore()
	first := stored(fullID("a"), "first:latest", true, "volumedriver", "volumedriver", "logdriver")
	second := stored(fullID("b"), "second:latest", true, "volumedriver")
	foreign := stored(fullID("c"), "foreign:latest", true)
	foreign.PluginObj.Config.Interface.Types = []types.PluginInterfaceType{{Prefix: "other", Capability: "volumedriver"}}
	for _, p := range []*v2.Plugin{second, first, foreign, stored(fullID("d"), "off:latest", false, "volumedriver")} {
		assert.NilError(t, ps.Add(p))
	}
	names := func(capability string) []string {
		all, err := ps.GetAllByCap(capability)
		assert.NilError(t, err)
		var names, managed []string
		for _, p := range all {
			if !p.IsV1() { // the host may have legacy plugins
				names = append(names, p.Name())
			}
		}
		for _, p := range ps.GetAllManagedPluginsByCap(capability) {
			managed = append(managed, p.Name())
		}
		assert.DeepEqual(t, managed, names)
		return names
	}
	assert.DeepEqual(t, names("VolumeDriver"), []string{"first:latest", "second:latest"})
	assert.DeepEqual(t, names("logdriver"), []string{"first:latest"})
	assert.Equal(t, len(names("nothing")), 0)

	held := ps.GetAllManagedPluginsByCap("volumedriver")
	ps.Remove(first)
	ps.Remove(first)
	assert.DeepEqual(t, names("volumedriver"), []string{"second:latest"})
	assert.Equal(t, held[0].Name(), "first:latest", "a list that was handed out changed")
	assert.NilError(t, ps.Add(first), "a removed name and ID are free again")
}

func TestStoreSetAll(t *testing.T) {
	ps := NewStore()
	assert.NilError(t, ps.Add(stored(fullID("f"), "old:latest", true)))
	ps.SetAll(map[string]*v2.Plugin{
		fullID("b"): stored(fullID("b"), "same:latest", true),
		fullID("a"): stored(fullID("a"), "same:latest", true),
	})
	_, err := ps.GetV2Plugin("old")
	assert.Check(t, is.ErrorType(err, &NotFoundError{}))
	p, err := ps.GetV2Plugin("same")
	assert.NilError(t, err)
	assert.Equal(t, p.GetID(), fullID("a"), "which of two has the name is not chance")
	ps.Remove(stored(fullID("b"), "", false))
	_, err = ps.GetV2Plugin("same")
	assert.NilError(t, err, "removing the other one took the name away")
}

func TestStoreReserve(t *testing.T) {
	ps := NewStore()
	release, err := ps.reserve("new:latest")
	assert.NilError(t, err)
	_, err = ps.reserve("new:latest")
	assert.Check(t, is.ErrorType(err, &ExistsError{}))
	release()
	_, err = ps.reserve("new:latest")
	assert.NilError(t, err)
	assert.NilError(t, ps.Add(stored(fullID("a"), "taken:latest", true)))
	_, err = ps.reserve("taken:latest")
	assert.Check(t, is.ErrorType(err, &ExistsError{}))
}

func TestNilStore(t *testing.T) {
	var ps *Store
	_, err := ps.Get("dovetail/absent", "volumedriver", plugingetter.Lookup)
	assert.Check(t, is.ErrorType(err, &NotFoundError{}))
	all, err := ps.GetAllByCap("volumedriver")
	assert.NilError(t, err)
	for _, p := range all {
		assert.Check(t, p.IsV1(), "only the host may have plugins, of the first generation")
	}
}

// TestUnknownNameIsNotWaitedFor runs on a virtual clock, on which docker's
// package would spend many seconds: no legacy plugin can have such names.
func TestUnknownNameIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		for _, name := range []string{"nobody/has-this", "nobody-has:this", "../../etc/passwd", "/run/docker/plugins/x", ""} {
			_, err := NewStore().Get(name, "volumedriver", plugingetter.Lookup)
			var unknown *NotFoundError
			assert.Check(t, errors.As(err, &unknown), "%q: %v", name, err)
		}
		assert.Equal(t, time.Since(before), time.Duration(0))
	})
}

func TestHandlersAndSpecOptsRunWithoutLocks(t *testing.T) {
	ps := NewStore()
	p := stored(fullID("a"), "on:latest", true, "handled")
	assert.NilError(t, ps.Add(p))
	called := 0
	ps.Handle("Handled", func(name string, _ *plugins.Client) {
		called++
		assert.Equal(t, name, "on:latest")
		ps.Handle("handled", func(string, *plugins.Client) {})
	})
	ps.CallHandler(p)
	assert.Equal(t, called, 1)

	ps.RegisterRuntimeOpt("Handled", func(s *specs.Spec) {
		s.Hostname = "first"
		ps.RegisterRuntimeOpt("handled", func(*specs.Spec) {})
	}, func(s *specs.Spec) { s.Hostname += " second" })
	var spec specs.Spec
	ps.applySpecOpts(p, &spec)
	assert.Equal(t, spec.Hostname, "first second")
}

// TestStoreAgainstModel compares look-ups with a search through a list of all
// plugins, sound and broken.
func TestStoreAgainstModel(t *testing.T) {
	seed := testseed.Of(t)
	random := rand.New(rand.NewPCG(seed, 0))
	ps := NewStore()
	model := map[string]*v2.Plugin{}
	broken := map[string]error{}
	for step := range 3000 {
		id := fmt.Sprintf("%064x", random.IntN(64)<<(4*random.IntN(60)))
		switch p, sound := model[id]; {
		case sound:
			ps.Remove(p)
			delete(model, id)
		case broken[id] != nil:
			assert.Assert(t, is.ErrorType(ps.Add(stored(id, "x:latest", true)), &ExistsError{}))
			ps.Remove(stored(id, id, false))
			delete(broken, id)
		case step%50 == 0:
			broken[id] = errors.New("cut off")
			ps.fill(model, broken)
		default:
			p := stored(id, "p"+id+":latest", true, fmt.Sprint("cap", random.IntN(3)))
			assert.NilError(t, ps.Add(p))
			model[id] = p
		}
		checkPrefix(t, ps, model, broken, id[:1+random.IntN(64)])
		total := 0
		for i := range 3 {
			total += len(ps.GetAllManagedPluginsByCap(fmt.Sprint("cap", i)))
		}
		assert.Equal(t, total, len(model))
		assert.Equal(t, len(ps.all()), len(model))
	}
	for _, p := range model {
		ps.Remove(p)
	}
}

func checkPrefix(t *testing.T, ps *Store, model map[string]*v2.Plugin, broken map[string]error, prefix string) {
	t.Helper()
	var matches []string
	for id := range model {
		if strings.HasPrefix(id, prefix) {
			matches = append(matches, id)
		}
	}
	for id := range broken {
		if strings.HasPrefix(id, prefix) {
			matches = append(matches, id)
		}
	}
	p, err := ps.GetV2Plugin(prefix)
	switch {
	case len(matches) == 0:
		assert.Assert(t, is.ErrorType(err, &NotFoundError{}))
	case len(matches) > 1:
		assert.Assert(t, is.ErrorType(err, &AmbiguousError{}))
	case broken[matches[0]] != nil:
		assert.Assert(t, is.ErrorType(err, &BrokenError{}))
	default:
		assert.NilError(t, err)
		assert.Assert(t, model[matches[0]] == p)
	}
}

func benchmarkStore(b *testing.B) *Store {
	b.Helper()
	ps := NewStore()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		id := fmt.Sprintf("%016x%048x", random.Uint64(), i)
		if err := ps.Add(stored(id, fmt.Sprintf("dovetail/plugin%d:latest", i), i%2 == 0, "volumedriver")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return ps
}

func BenchmarkStoreLookup(b *testing.B) {
	lookup := func(ref string) func(b *testing.B) {
		return func(b *testing.B) {
			ps := benchmarkStore(b)
			for b.Loop() {
				if _, err := ps.GetV2Plugin(ref); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("name", lookup("dovetail/plugin5000:latest"))
	b.Run("name-without-tag", lookup("dovetail/plugin5000"))
	b.Run("id", func(b *testing.B) { lookup(benchmarkStore(b).all()[5000].GetID())(b) })
	b.Run("prefix", func(b *testing.B) { lookup(benchmarkStore(b).all()[5000].GetID()[:12])(b) })
	b.Run("capability-without-match", func(b *testing.B) {
		ps := benchmarkStore(b)
		for b.Loop() {
			ps.GetAllManagedPluginsByCap("graphdriver")
		}
	})
	b.Run("get", func(b *testing.B) {
		ps := benchmarkStore(b)
		for b.Loop() {
			if _, err := ps.Get("dovetail/plugin5000", "volumedriver", plugingetter.Lookup); err != nil {
				b.Fatal(err)
			}
		}
	})
}
