// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"encoding/json"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
	is "gotest.tools/v3/assert/cmp"
)

var (
	_ plugingetter.CompatPlugin  = (*Plugin)(nil)
	_ plugingetter.CountedPlugin = (*Plugin)(nil)
	_ plugingetter.PluginAddr    = (*Plugin)(nil)
	_ json.Marshaler             = (*Plugin)(nil)
	_ json.Unmarshaler           = (*Plugin)(nil)
)

const exampleID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func pointer[T any](value T) *T { return &value }

// example has something in every field.
func example() *Plugin {
	p := &Plugin{
		PluginObj: types.Plugin{
			ID:              exampleID,
			Name:            "example/volumes:latest",
			Enabled:         true,
			PluginReference: "docker.io/example/volumes:latest",
			Config: types.PluginConfig{
				Description:   "keeps volumes",
				DockerVersion: "28.5.2",
				Documentation: "https://example.com/volumes",
				Entrypoint:    []string{"/bin/volumes", "serve"},
				WorkDir:       "/var/lib/volumes",
				Interface: types.PluginConfigInterface{
					Socket: "volumes.sock",
					Types: []types.PluginInterfaceType{
						{Prefix: "docker", Capability: "volumedriver", Version: "1.0"},
						{Prefix: "example", Capability: "debugger", Version: "2"},
					},
				},
				Network:         types.PluginConfigNetwork{Type: "host"},
				PropagatedMount: "/mnt/volumes",
				User:            types.PluginConfigUser{UID: 1000, GID: 1001},
				Linux: types.PluginConfigLinux{
					Capabilities: []string{"CAP_SYS_ADMIN", "CAP_CHOWN"},
					Devices: []types.PluginDevice{
						{Name: "fuse", Path: pointer("/dev/fuse"), Settable: []string{"path"}},
						{Name: "fixed", Path: pointer("/dev/null")},
					},
				},
				Mounts: []types.PluginMount{
					{
						Name: "state", Source: pointer("/var/lib/state"), Destination: "/mnt/state",
						Type: "bind", Options: []string{"rbind", "ro"}, Settable: []string{"source"},
					},
					{
						Name: "scratch", Source: pointer("tmpfs"), Destination: "/scratch",
						Type: "tmpfs", Options: []string{"size=1m"},
					},
				},
				Env: []types.PluginEnv{
					{Name: "DEBUG", Value: pointer("0"), Settable: []string{"value"}},
					{Name: "LOGGING", Value: pointer("1")},
					{Name: "TOKEN", Settable: []string{"value"}},
				},
				Args: types.PluginConfigArgs{
					Name: "flags", Value: []string{"--verbose", "--fast"}, Settable: []string{"value"},
				},
				Rootfs: &types.PluginConfigRootfs{
					Type: "layers", DiffIds: []string{string(digest.FromString("layer"))},
				},
			},
		},
		Rootfs:         "/plugins/" + exampleID + "/rootfs",
		Config:         digest.FromString("config"),
		Blobsums:       []digest.Digest{digest.FromString("layer blob")},
		Manifest:       digest.FromString("manifest"),
		SwarmServiceID: "service",
	}
	p.InitEmptySettings()
	return p
}

func TestFieldsAreDockers(t *testing.T) {
	var exported []string
	for field := range fields(reflect.TypeFor[Plugin]()) {
		if field.IsExported() {
			exported = append(exported, strings.TrimSpace(field.Name+" "+field.Type.String()+" "+string(field.Tag)))
		}
	}
	assert.DeepEqual(t, exported, []string{
		`PluginObj types.Plugin json:"plugin"`,
		"Rootfs string",
		"Config digest.Digest",
		"Blobsums []digest.Digest",
		"Manifest digest.Digest",
		"SwarmServiceID string",
	})
}

func TestAccessors(t *testing.T) {
	p := example()
	assert.Equal(t, p.Name(), "example/volumes:latest")
	assert.Equal(t, p.GetID(), exampleID)
	assert.Equal(t, p.IsEnabled(), true)
	assert.Equal(t, p.IsV1(), false)
	assert.Equal(t, p.GetSocket(), "volumes.sock")
	assert.Equal(t, p.Protocol(), plugins.ProtocolSchemeHTTPV1)
	p.PluginObj.Config.Interface.ProtocolScheme = "example.grpc/v2"
	assert.Equal(t, p.Protocol(), "example.grpc/v2")
	p.SetEnabled(false)
	assert.Equal(t, p.IsEnabled(), false)
}

func TestGetTypesGivesACopy(t *testing.T) {
	p := example()
	p.GetTypes()[0].Capability = "spoiled"
	assert.Equal(t, p.GetTypes()[0].Capability, "volumedriver")
}

func TestZeroValueAndLiteralsWork(t *testing.T) {
	tests := []struct {
		name   string
		plugin *Plugin
	}{
		{"zero", &Plugin{}},
		{"literal", &Plugin{PluginObj: types.Plugin{Name: "literal", Enabled: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.plugin
			enabled := p.PluginObj.Enabled
			assert.Equal(t, p.GetRefCount(), 0)
			p.Acquire()
			p.AddRefCount(2)
			p.Release()
			assert.Equal(t, p.GetRefCount(), 2)
			assert.Check(t, is.Nil(p.Client()))
			assert.Check(t, is.Nil(p.Addr()))
			assert.Equal(t, p.Timeout(), time.Duration(0))
			assert.Equal(t, p.Protocol(), plugins.ProtocolSchemeHTTPV1)
			assert.Equal(t, p.GetSocket(), "")
			assert.Equal(t, len(p.GetTypes()), 0)
			assert.Equal(t, p.ScopedPath("/a/../b"), "/b")
			p.SetSpecOptModifier(func(*specs.Spec) {})
			_, err := p.InitSpec(t.TempDir())
			assert.Check(t, err != nil)
			_, err = p.FilterByCap("volumedriver")
			assert.Check(t, is.ErrorType(err, ErrInadequateCapability{}))
			assert.Check(t, p.Use("volumedriver", plugingetter.Lookup) != nil)
			assert.Check(t, is.ErrorType(p.Set([]string{"A=1"}), &InvalidSettingError{}))
			p.InitEmptySettings()
			assert.NilError(t, p.Set(nil))
			assert.Equal(t, p.Clone().IsEnabled(), enabled)
			data, err := json.Marshal(p)
			assert.NilError(t, err)
			assert.NilError(t, json.Unmarshal(data, new(Plugin)))
			assert.NilError(t, p.DisableUnlessInUse(true))
		})
	}
}

// TestConcurrentUse lets the race detector see every method at once. Readers
// of one kind check that what they see belongs together.
func TestConcurrentUse(t *testing.T) {
	p := example()
	record, err := json.Marshal(p)
	assert.NilError(t, err)
	execRoot := t.TempDir()
	other := example()
	actions := []func(){
		func() { p.Acquire(); p.Release() },
		func() { _ = p.Use("volumedriver", plugingetter.Lookup) },
		func() { p.SetEnabled(true); _ = p.DisableUnlessInUse(false) },
		func() { p.SetAddr(&net.UnixAddr{Name: "a"}); _ = p.Addr() },
		func() { p.SetPClient(&plugins.Client{}); _ = p.Client() },
		func() { p.SetTimeout(time.Second); _ = p.Timeout() },
		func() { p.SetSpecOptModifier(nil) },
		func() { _ = p.Set([]string{"DEBUG=1", "flags='a b' c", "state=/other"}) },
		func() { p.InitEmptySettings() },
		func() { p.ReplaceData(other) },
		func() { _ = json.NewEncoder(io.Discard).Encode(p) },
		func() { _ = json.Unmarshal(record, p) },
		func() { _, _ = p.InitSpec(execRoot) },
		func() { _ = p.ScopedPath("/mnt/volumes/x") + p.Name() + p.GetID() + p.GetSocket() + p.Protocol() },
		func() { _ = p.GetTypes() },
		func() { _ = p.Clone().Set([]string{"DEBUG=2"}) },
		func() {
			settings := p.Snapshot().Settings
			isDefault := settings.Env[0] == "DEBUG=0"
			if wantSource := "/var/lib/state"; isDefault != (*settings.Mounts[0].Source == wantSource) {
				t.Errorf("half of a Set is seen: %v and %v", settings.Env, *settings.Mounts[0].Source)
			}
		},
	}
	var group sync.WaitGroup
	for _, action := range actions {
		group.Go(func() {
			for range 50 {
				action()
			}
		})
	}
	group.Wait()
	assert.Equal(t, p.GetRefCount(), 0)
}
