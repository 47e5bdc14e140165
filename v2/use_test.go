// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/quick"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"
	"gotest.tools/v3/assert"
)

func withTypes(enabled bool, interfaces ...types.PluginInterfaceType) *Plugin {
	p := &Plugin{PluginObj: types.Plugin{Name: "example", Enabled: enabled}}
	p.PluginObj.Config.Interface.Types = interfaces
	return p
}

func TestFilterByCap(t *testing.T) {
	volume := types.PluginInterfaceType{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}
	network := types.PluginInterfaceType{Prefix: "docker", Capability: "networkdriver", Version: "1.0"}
	tests := []struct {
		name       string
		types      []types.PluginInterfaceType
		capability string
		want       bool
	}{
		{"lower case", []types.PluginInterfaceType{volume}, "volumedriver", true},
		{"mixed case", []types.PluginInterfaceType{volume}, "VolumeDriver", true},
		{"second type", []types.PluginInterfaceType{network, volume}, "VolumeDriver", true},
		{"other capability", []types.PluginInterfaceType{network}, "volumedriver", false},
		{"no type", nil, "volumedriver", false},
		{"beginning only", []types.PluginInterfaceType{volume}, "volume", false},
		{"more than it", []types.PluginInterfaceType{volume}, "volumedrivers", false},
		{"empty", []types.PluginInterfaceType{volume}, "", false},
		{"other prefix", []types.PluginInterfaceType{{Prefix: "example", Capability: "volumedriver"}}, "volumedriver", false},
		{"config in upper case", []types.PluginInterfaceType{{Prefix: "docker", Capability: "VolumeDriver"}}, "VolumeDriver", false},
		{"not ASCII", []types.PluginInterfaceType{{Prefix: "docker", Capability: "größe"}}, "GRÖßE", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := withTypes(false, tt.types...)
			found, err := p.FilterByCap(tt.capability)
			if tt.want {
				assert.NilError(t, err)
				assert.Equal(t, found, p)
				return
			}
			assert.ErrorType(t, err, ErrInadequateCapability{})
			assert.ErrorContains(t, err, strings.ToLower(tt.capability))
			assert.Assert(t, found == nil)
		})
	}
}

func TestEqualsLowered(t *testing.T) {
	same := func(s string, pick bool, other string) bool {
		if pick {
			other = strings.ToLower(s)
		}
		return equalsLowered(s, other) == (strings.ToLower(s) == other)
	}
	assert.NilError(t, quick.Check(same, nil))
}

func TestUse(t *testing.T) {
	volume := types.PluginInterfaceType{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}
	tests := []struct {
		name       string
		enabled    bool
		capability string
		mode       int
		wantErr    error
		wantCount  int
	}{
		{"lookup", true, "VolumeDriver", plugingetter.Lookup, nil, 1},
		{"acquire", true, "VolumeDriver", plugingetter.Acquire, nil, 2},
		{"release", true, "VolumeDriver", plugingetter.Release, nil, 0},
		{"other capability", true, "IPAM", plugingetter.Acquire, ErrInadequateCapability{capability: "IPAM"}, 1},
		{"disabled", false, "VolumeDriver", plugingetter.Acquire, &DisabledError{Name: "example"}, 1},
		{"disabled comes first", false, "IPAM", plugingetter.Acquire, &DisabledError{Name: "example"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := withTypes(tt.enabled, volume)
			p.Acquire()
			assert.Assert(t, reflect.DeepEqual(p.Use(tt.capability, tt.mode), tt.wantErr))
			assert.Equal(t, p.GetRefCount(), tt.wantCount)
		})
	}
}

func TestDisableUnlessInUse(t *testing.T) {
	tests := []struct {
		name        string
		references  int
		force       bool
		wantErr     error
		wantEnabled bool
	}{
		{"unused", 0, false, nil, false},
		{"unused, forced", 0, true, nil, false},
		{"in use", 1, false, &InUseError{Name: "example"}, true},
		{"in use, forced", 1, true, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := withTypes(true)
			p.AddRefCount(tt.references)
			assert.DeepEqual(t, p.DisableUnlessInUse(tt.force), tt.wantErr)
			assert.Equal(t, p.IsEnabled(), tt.wantEnabled)
			assert.Equal(t, p.GetRefCount(), tt.references)
		})
	}
}

// TestUseAndDisableExcludeEachOther races a use against a disable. They never both
// succeed.
func TestUseAndDisableExcludeEachOther(t *testing.T) {
	volume := types.PluginInterfaceType{Prefix: "docker", Capability: "volumedriver", Version: "1.0"}
	for range 2000 {
		p := withTypes(true, volume)
		var used, disabled error
		var group sync.WaitGroup
		group.Go(func() { used = p.Use("volumedriver", plugingetter.Acquire) })
		group.Go(func() { disabled = p.DisableUnlessInUse(false) })
		group.Wait()
		if (used == nil) == (disabled == nil) {
			t.Fatalf("Use: %v, DisableUnlessInUse: %v, want exactly one to succeed", used, disabled)
		}
		if used != nil && !errors.As(used, new(*DisabledError)) {
			t.Fatalf("Use: %v, want it to say that the plugin is disabled", used)
		}
		assert.Equal(t, p.IsEnabled(), used == nil)
		assert.Equal(t, p.GetRefCount() == 1, used == nil)
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	p := example()
	p.Acquire()
	p.Release()
	tests := []struct {
		name string
		call func()
	}{
		{"IsEnabled", func() { p.IsEnabled() }},
		{"Name", func() { _ = p.Name() }},
		{"FilterByCap", func() { _, _ = p.FilterByCap("VolumeDriver") }},
		{"Use", func() { _ = p.Use("VolumeDriver", plugingetter.Lookup) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, testing.AllocsPerRun(100, tt.call), 0.0)
		})
	}
}

func BenchmarkIsEnabled(b *testing.B) {
	p := example()
	for b.Loop() {
		p.IsEnabled()
	}
}

func BenchmarkFilterByCap(b *testing.B) {
	p := example()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.FilterByCap("VolumeDriver"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUse(b *testing.B) {
	p := example()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Use("VolumeDriver", plugingetter.Lookup); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUseNoMatch(b *testing.B) {
	p := example()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Use("NetworkDriver", plugingetter.Lookup); err == nil {
			b.Fatal("a volume plugin was used as a network driver")
		}
	}
}

// TestForgottenReferencesAreReleasedLate lets holders of before a forced disable
// release their references after new ones were given.
func TestForgottenReferencesAreReleasedLate(t *testing.T) {
	p := &Plugin{}
	for range 2 {
		p.Acquire()
	}
	p.ForgetReferences()
	assert.Equal(t, p.GetRefCount(), 0)
	p.Acquire()
	p.Release() // a forgotten reference
	assert.Equal(t, p.GetRefCount(), 1)
	p.Release() // of the other one
	assert.Equal(t, p.GetRefCount(), 1, "the plugin is in use")
	p.Release()
	assert.Equal(t, p.GetRefCount(), 0)
	p.Release() // too many
	p.Acquire()
	assert.Equal(t, p.GetRefCount(), 1)
}
