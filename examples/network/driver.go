// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/docker/go-plugins-helpers/network"
	"github.com/vishvananda/netlink"
)

// driver makes links in its network namespace. Docker chooses the addresses, and moves
// the interface of an endpoint into its container. The zero value is ready to use, and
// safe for concurrent use.
type driver struct{}

var _ network.Driver = driver{}

// GetCapabilities reports that networks exist on this host only.
func (driver) GetCapabilities() (*network.CapabilitiesResponse, error) {
	return &network.CapabilitiesResponse{Scope: network.LocalScope, ConnectivityScope: network.LocalScope}, nil
}

// CreateNetwork makes the link of a network, one end of a pair. A driver that was killed can have made it
// before.
func (driver) CreateNetwork(request *network.CreateNetworkRequest) error {
	name, err := parentOf(request.NetworkID)
	if err != nil {
		return err
	}
	peer, err := peerOf(request.NetworkID)
	if err != nil {
		return err
	}
	pair := &netlink.Veth{LinkAttrs: attributes(name), PeerName: peer}
	if err := netlink.LinkAdd(pair); err != nil && !errors.Is(err, errExists) {
		return fmt.Errorf("add link %s: %w", name, err)
	}
	return errors.Join(setUp(name), setUp(peer))
}

// DeleteNetwork deletes the link, with its other end.
func (driver) DeleteNetwork(request *network.DeleteNetworkRequest) error {
	name, err := parentOf(request.NetworkID)
	if err != nil {
		return err
	}
	return remove(name)
}

// CreateEndpoint has nothing to do: docker gives the interface its address.
func (driver) CreateEndpoint(*network.CreateEndpointRequest) (*network.CreateEndpointResponse, error) {
	return &network.CreateEndpointResponse{Interface: &network.EndpointInterface{}}, nil
}

// DeleteEndpoint deletes the interface of an endpoint that no container took.
func (driver) DeleteEndpoint(request *network.DeleteEndpointRequest) error {
	name, err := endpointOf(request.EndpointID)
	if err != nil {
		return err
	}
	return remove(name)
}

// EndpointInfo has nothing to add to what docker knows.
func (driver) EndpointInfo(*network.InfoRequest) (*network.InfoResponse, error) {
	return &network.InfoResponse{Value: map[string]string{}}, nil
}

// Join makes the interface of a container. There is no gateway.
func (driver) Join(request *network.JoinRequest) (*network.JoinResponse, error) {
	parentName, err := parentOf(request.NetworkID)
	if err != nil {
		return nil, err
	}
	name, err := endpointOf(request.EndpointID)
	if err != nil {
		return nil, err
	}
	parent, err := netlink.LinkByName(parentName)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", parentName, err)
	}
	link := &netlink.Macvlan{LinkAttrs: attributes(name), Mode: netlink.MACVLAN_MODE_BRIDGE}
	link.ParentIndex = parent.Attrs().Index
	if err := netlink.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("add link %s: %w", name, err)
	}
	return &network.JoinResponse{
		InterfaceName:         network.InterfaceName{SrcName: name, DstPrefix: "eth"},
		DisableGatewayService: true,
	}, nil
}

// Leave has nothing to do: docker gives the interface back, and DeleteEndpoint deletes
// it.
func (driver) Leave(*network.LeaveRequest) error { return nil }

// AllocateNetwork and FreeNetwork are for networks of a swarm.
func (driver) AllocateNetwork(*network.AllocateNetworkRequest) (*network.AllocateNetworkResponse, error) {
	return nil, errors.New("networks of a swarm are not supported")
}

// FreeNetwork has nothing to free.
func (driver) FreeNetwork(*network.FreeNetworkRequest) error { return nil }

// DiscoverNew ignores other hosts: networks are local.
func (driver) DiscoverNew(*network.DiscoveryNotification) error { return nil }

// DiscoverDelete ignores other hosts.
func (driver) DiscoverDelete(*network.DiscoveryNotification) error { return nil }

// ProgramExternalConnectivity publishes no ports: the networks have no way out.
func (driver) ProgramExternalConnectivity(*network.ProgramExternalConnectivityRequest) error {
	return nil
}

// RevokeExternalConnectivity has nothing to revoke.
func (driver) RevokeExternalConnectivity(*network.RevokeExternalConnectivityRequest) error {
	return nil
}
