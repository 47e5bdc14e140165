// SPDX-License-Identifier: Apache-2.0

package v2

import (
	"net"
	"testing"
	"time"

	"github.com/docker/docker/pkg/plugins"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gotest.tools/v3/assert"
)

func TestReferenceCountHasAFloor(t *testing.T) {
	tests := []struct {
		name  string
		steps []int
		want  int
	}{
		{"nothing", nil, 0},
		{"release at zero", []int{-1}, 0},
		{"release at zero is forgotten", []int{-1, 1}, 1},
		{"balanced", []int{1, 1, -1, -1}, 0},
		{"by several", []int{5, -3}, 2},
		{"by more than there are", []int{2, -3, 1}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := new(Plugin)
			for _, count := range tt.steps {
				p.AddRefCount(count)
			}
			assert.Equal(t, p.GetRefCount(), tt.want)
		})
	}
}

func TestRuntimeStateIsSharedWithClones(t *testing.T) {
	p := example()
	before := p.Clone()
	p.Acquire()
	after := before.Clone()

	client, err := plugins.NewClient("unix:///example.sock", nil)
	assert.NilError(t, err)
	addr := &net.UnixAddr{Name: "/example.sock", Net: "unix"}
	modified := 0
	before.SetPClient(client)
	before.SetAddr(addr)
	before.SetTimeout(time.Minute)
	before.SetSpecOptModifier(func(*specs.Spec) { modified++ })
	before.Acquire()
	after.Acquire()
	after.Release()

	for _, handle := range []*Plugin{p, before, after} {
		assert.Equal(t, handle.GetRefCount(), 2)
		assert.Equal(t, handle.Client(), client)
		assert.Equal(t, handle.Addr(), net.Addr(addr))
		assert.Equal(t, handle.Timeout(), time.Minute)
		handle.specModifier()(nil)
	}
	assert.Equal(t, modified, 3)
}
