// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"iter"
	"reflect"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/opencontainers/go-digest"
	"gotest.tools/v3/assert"
)

func fields(t reflect.Type) iter.Seq[reflect.StructField] {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// fill sets every part of v, also those that a later version of docker's types
// may add, so that a copy that forgets one is found out.
func fill(t testing.TB, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.String:
		v.SetString("filled")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint32:
		v.SetUint(1)
	default:
		t.Fatalf("docker's types hold a %s: teach the copy and this test", v.Kind())
	}
}

// memory collects the addresses behind slices and pointers.
func memory(v reflect.Value, into map[uintptr]string, path string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			memory(v.Field(i), into, path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		if v.Cap() > 0 {
			into[v.Pointer()] = path
		}
		for i := range v.Len() {
			memory(v.Index(i), into, path)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			into[v.Pointer()] = path
			memory(v.Elem(), into, path)
		}
	}
}

func assertNoSharedMemory(t testing.TB, a, b types.Plugin) {
	t.Helper()
	inA, inB := map[uintptr]string{}, map[uintptr]string{}
	memory(reflect.ValueOf(a), inA, "Plugin")
	memory(reflect.ValueOf(b), inB, "Plugin")
	assert.Assert(t, len(inA) > 0 && len(inB) > 0, "the walk found nothing to compare")
	for address, path := range inA {
		_, shared := inB[address]
		assert.Check(t, !shared, "%s is shared", path)
	}
}

func TestCopiesShareNoMemory(t *testing.T) {
	p := new(Plugin)
	fill(t, reflect.ValueOf(&p.PluginObj).Elem())
	p.Blobsums = []digest.Digest{digest.FromString("layer")}

	snapshot := p.Snapshot()
	assert.DeepEqual(t, snapshot, p.PluginObj)
	assertNoSharedMemory(t, snapshot, p.PluginObj)

	clone := p.Clone()
	assert.DeepEqual(t, clone.PluginObj, p.PluginObj)
	assertNoSharedMemory(t, clone.PluginObj, p.PluginObj)
	clone.Blobsums[0] = "spoiled"
	assert.Equal(t, p.Blobsums[0], digest.FromString("layer"))
}

func TestSnapshotsShareNoMemory(t *testing.T) {
	plugins := make([]*Plugin, maxAhead)
	for i := range plugins {
		plugins[i] = new(Plugin)
		fill(t, reflect.ValueOf(&plugins[i].PluginObj).Elem())
		plugins[i].PluginObj.Enabled = i%3 > 0
	}
	list := Snapshots(plugins, func(p *types.Plugin) bool { return p.Enabled })
	assert.Equal(t, len(list), len(plugins)-(len(plugins)+2)/3)
	for i := range list {
		p := plugins[i/2*3+i%2+1]
		assert.DeepEqual(t, list[i], p.PluginObj)
		assertNoSharedMemory(t, list[i], p.PluginObj)
		assertNoSharedMemory(t, list[i], list[(i+1)%len(list)])
		_ = append(list[i].Config.Entrypoint, "appended") // in memory of its own
	}
	for i := range list {
		assert.DeepEqual(t, list[i], plugins[i/2*3+i%2+1].PluginObj)
	}
}

func TestCopiesKeepNilAndEmptyApart(t *testing.T) {
	p := &Plugin{}
	p.PluginObj.Settings.Mounts = []types.PluginMount{}
	snapshot := p.Snapshot()
	assert.Assert(t, snapshot.Settings.Mounts != nil)
	assert.Assert(t, snapshot.Settings.Devices == nil)
	assert.Assert(t, snapshot.Config.Rootfs == nil)
}

func TestCloneIsWholeAndApart(t *testing.T) {
	p := example()
	clone := p.Clone()
	was, err := json.Marshal(p)
	assert.NilError(t, err)
	same, err := json.Marshal(clone)
	assert.NilError(t, err)
	assert.Equal(t, string(same), string(was))

	assert.NilError(t, clone.Set([]string{"DEBUG=9", "state=/elsewhere"}))
	clone.SetEnabled(false)
	clone.InitEmptySettings()
	clone.ReplaceData(&Plugin{})
	clone.PluginObj.Name = "other"

	now, err := json.Marshal(p)
	assert.NilError(t, err)
	assert.Equal(t, string(now), string(was))
}

func TestReplaceData(t *testing.T) {
	p := example()
	p.Acquire()
	next := &Plugin{
		PluginObj: types.Plugin{
			ID: "next", Name: "next", PluginReference: "docker.io/example/volumes:2",
			Config:   types.PluginConfig{Description: "better", Entrypoint: []string{"/bin/next"}},
			Settings: types.PluginSettings{Env: []string{"DEBUG=3"}},
		},
		Rootfs:   "/staged/rootfs",
		Config:   digest.FromString("next config"),
		Blobsums: []digest.Digest{digest.FromString("next layer")},
		Manifest: digest.FromString("next manifest"),
	}
	p.ReplaceData(next)

	assert.DeepEqual(t, p.PluginObj, types.Plugin{
		ID: exampleID, Name: "example/volumes:latest", Enabled: true,
		PluginReference: "docker.io/example/volumes:2",
		Config:          types.PluginConfig{Description: "better", Entrypoint: []string{"/bin/next"}},
		Settings:        types.PluginSettings{Env: []string{"DEBUG=3"}},
	})
	assert.Equal(t, p.Rootfs, "/plugins/"+exampleID+"/rootfs")
	assert.Equal(t, p.SwarmServiceID, "service")
	assert.Equal(t, p.Config, digest.FromString("next config"))
	assert.Equal(t, p.Manifest, digest.FromString("next manifest"))
	assert.DeepEqual(t, p.Blobsums, next.Blobsums)
	assert.Equal(t, p.GetRefCount(), 1)

	next.PluginObj.Config.Entrypoint[0] = "spoiled"
	next.Blobsums[0] = "spoiled"
	assert.Equal(t, p.PluginObj.Config.Entrypoint[0], "/bin/next")
	assert.Equal(t, p.Blobsums[0], digest.FromString("next layer"))
}

func TestReplaceDataWithItself(t *testing.T) {
	p := example()
	want := p.Snapshot()
	p.ReplaceData(p)
	assert.DeepEqual(t, p.PluginObj, want)
}
