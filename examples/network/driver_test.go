// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/docker/go-plugins-helpers/network"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"gotest.tools/v3/assert"

	"github.com/dovetailhq/plugin/examples/internal/trial"
)

var (
	networkID = strings.Repeat("0123456789abcdef", 4)
	first     = strings.Repeat("1", 64)
	second    = strings.Repeat("2", 64)
)

// TestPlugin connects two network namespaces through the plugin, as docker does for
// containers.
func TestPlugin(t *testing.T) {
	trial.InNamespace(t, func(t *testing.T) {
		daemon := trial.NewDaemon(t)
		daemon.Install("example/network")
		daemon.Enable("example/network")
		driver := daemon.Caller("example/network", "NetworkDriver")
		call := func(method string, request, response any) {
			t.Helper()
			assert.NilError(t, driver.Call(method, request, response))
		}

		var capabilities network.CapabilitiesResponse
		call("GetCapabilities", nil, &capabilities)
		assert.Equal(t, capabilities.Scope, network.LocalScope)
		call("CreateNetwork", network.CreateNetworkRequest{NetworkID: networkID}, nil)
		call("CreateNetwork", network.CreateNetworkRequest{NetworkID: networkID}, nil)
		links := func() int {
			all, err := netlink.LinkList()
			assert.NilError(t, err)
			return len(all)
		}
		assert.Equal(t, links(), 3) // lo and the ends of the network's

		join := func(endpoint string) netlink.Link {
			call("CreateEndpoint", network.CreateEndpointRequest{NetworkID: networkID, EndpointID: endpoint}, nil)
			var joined network.JoinResponse
			call("Join", network.JoinRequest{NetworkID: networkID, EndpointID: endpoint}, &joined)
			assert.Equal(t, joined.InterfaceName.DstPrefix, "eth")
			link, err := netlink.LinkByName(joined.InterfaceName.SrcName)
			assert.NilError(t, err)
			return link
		}
		one, other := newSandbox(t, join(first), "10.99.0.2/24"), newSandbox(t, join(second), "10.99.0.3/24")
		assert.Equal(t, links(), 3)
		assert.Equal(t, exchange(t, one, other, "10.99.0.3:80"), "hello")

		// The interface of the first goes back to the host, that of the second ends with
		// its sandbox.
		one.giveBack(t)
		other.close(t)
		for _, endpoint := range []string{first, second} {
			call("Leave", network.LeaveRequest{NetworkID: networkID, EndpointID: endpoint}, nil)
			call("DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: networkID, EndpointID: endpoint}, nil)
		}
		call("DeleteNetwork", network.DeleteNetworkRequest{NetworkID: networkID}, nil)
		assert.Equal(t, links(), 1)
		assert.ErrorContains(t, driver.Call("CreateNetwork", network.CreateNetworkRequest{NetworkID: "../x"}, nil), `ID "../x" is not one of docker's`)
		assert.ErrorContains(t, driver.Call("Join", network.JoinRequest{NetworkID: networkID, EndpointID: first}, nil), "find link dn0123456789ab")
		daemon.Remove("example/network")
	})
}

// sandbox is the network namespace of a container.
type sandbox struct {
	handle netns.NsHandle
	inside *netlink.Handle
	name   string // of the interface
}

// newSandbox moves an interface into a new namespace.
func newSandbox(t *testing.T, link netlink.Link, address string) sandbox {
	t.Helper()
	s := sandbox{name: link.Attrs().Name}
	inThread(t, func() (err error) {
		s.handle, err = netns.New()
		return err
	})
	assert.NilError(t, netlink.LinkSetNsFd(link, int(s.handle)))
	var err error
	s.inside, err = netlink.NewHandleAt(s.handle)
	assert.NilError(t, err)
	parsed, err := netlink.ParseAddr(address)
	assert.NilError(t, err)
	moved, err := s.inside.LinkByName(s.name)
	assert.NilError(t, err)
	assert.NilError(t, s.inside.AddrAdd(moved, parsed))
	assert.NilError(t, s.inside.LinkSetUp(moved))
	return s
}

// giveBack moves the interface to the namespace of the test, and ends the sandbox.
func (s sandbox) giveBack(t *testing.T) {
	t.Helper()
	host, err := netns.Get()
	assert.NilError(t, err)
	link, err := s.inside.LinkByName(s.name)
	assert.NilError(t, err)
	assert.NilError(t, s.inside.LinkSetNsFd(link, int(host)))
	assert.NilError(t, host.Close())
	_, err = netlink.LinkByName(s.name)
	assert.NilError(t, err)
	s.close(t)
}

func (s sandbox) close(t *testing.T) {
	t.Helper()
	s.inside.Close()
	assert.NilError(t, s.handle.Close())
}

// exchange sends "hello" from a sandbox to an address of another one, and returns what
// arrived.
func exchange(t *testing.T, from, to sandbox, address string) string {
	t.Helper()
	var listener net.Listener
	inThread(t, func() (err error) {
		if err = netns.Set(to.handle); err == nil {
			listener, err = net.Listen("tcp", address)
		}
		return err
	})
	defer listener.Close()
	inThread(t, func() error {
		if err := netns.Set(from.handle); err != nil {
			return err
		}
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer connection.Close()
		_, err = io.WriteString(connection, "hello")
		return err
	})
	accepted, err := listener.Accept()
	assert.NilError(t, err)
	defer accepted.Close()
	received, err := io.ReadAll(accepted)
	assert.NilError(t, err)
	return string(received)
}

// inThread runs a function in a thread that ends with it, because its namespace changes.
func inThread(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- do()
	}()
	assert.NilError(t, <-done)
}
