// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"regexp"
	"syscall"

	"github.com/vishvananda/netlink"
)

var errExists = syscall.EEXIST

// shownID is as much of an ID as the names of links have: the kernel allows 15 bytes.
const shownID = 12

var validID = regexp.MustCompile(`^[0-9a-f]{12,}$`)

// parentOf returns the name of a network's link.
func parentOf(networkID string) (string, error) { return linkName("dn", networkID) }

// peerOf returns the name of the other end of a network's link. Nothing uses it, but it
// gives the link a carrier. A dummy link has one by itself, where the kernel has those.
func peerOf(networkID string) (string, error) { return linkName("dp", networkID) }

// endpointOf returns the name of an endpoint's interface before it is in a container.
func endpointOf(endpointID string) (string, error) { return linkName("de", endpointID) }

func linkName(prefix, id string) (string, error) {
	if !validID.MatchString(id) {
		return "", fmt.Errorf("ID %q is not one of docker's", id)
	}
	return prefix + id[:shownID], nil
}

func attributes(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up link %s: %w", name, err)
	}
	return nil
}

// remove deletes a link. It succeeds if there is none.
func remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}
