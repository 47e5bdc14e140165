// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
)

// network connects containers by one bridge on the host per network.
var network = handlers{
	"/NetworkDriver.GetCapabilities": func(*http.Request) (any, error) {
		return map[string]string{"Scope": "local", "ConnectivityScope": "local"}, nil
	},
	"/NetworkDriver.CreateNetwork": about(func(e endpoint) (any, error) {
		return struct{}{}, all(ip("link", "add", e.bridge(), "type", "bridge"), ip("link", "set", e.bridge(), "up"))
	}),
	"/NetworkDriver.DeleteNetwork": about(func(e endpoint) (any, error) { return struct{}{}, all(ip("link", "del", e.bridge())) }),
	"/NetworkDriver.CreateEndpoint": about(func(endpoint) (any, error) {
		return map[string]any{"Interface": struct{}{}}, nil
	}),
	"/NetworkDriver.EndpointOperInfo": func(*http.Request) (any, error) { return map[string]any{"Value": struct{}{}}, nil },
	"/NetworkDriver.Join": about(func(e endpoint) (any, error) {
		err := all(
			ip("link", "add", e.outside(), "type", "veth", "peer", "name", e.inside()),
			ip("link", "set", e.outside(), "master", e.bridge()),
			ip("link", "set", e.outside(), "up"),
		)
		return map[string]any{"InterfaceName": map[string]string{"SrcName": e.inside(), "DstPrefix": "eth"}}, err
	}),
	"/NetworkDriver.Leave": about(func(e endpoint) (any, error) { return struct{}{}, all(ip("link", "del", e.outside())) }),
}

type endpoint struct{ NetworkID, EndpointID string }

// The names of links are cut to fit into the kernel's limit of 15 bytes.
func (e endpoint) bridge() string  { return "dv" + e.NetworkID[:8] }
func (e endpoint) outside() string { return "vo" + e.EndpointID[:8] }
func (e endpoint) inside() string  { return "vi" + e.EndpointID[:8] }

func about(do func(endpoint) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		request, err := asked[endpoint](r)
		if err != nil {
			return nil, err
		}
		return do(request)
	}
}

func ip(arguments ...string) *exec.Cmd { return exec.Command("/sbin/ip", arguments...) }

// all runs commands until one fails.
func all(commands ...*exec.Cmd) error {
	for _, command := range commands {
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, out)
		}
	}
	return nil
}
