// SPDX-License-Identifier: Apache-2.0

// Package seam is where tests in other packages of this module reach into a
// manager: they give it files that fail, sockets for which virtual time passes,
// and a network in memory. The root package sets the functions; only
// internal/testworld calls them.
package seam

import (
	"context"
	"net"

	"github.com/dovetailhq/plugin/internal/durable"
)

// Parts are the replaceable parts of a manager. Files and Sockets are required; a
// nil Dial means the network.
type Parts struct {
	Files   *durable.FS
	Sockets Sockets
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // to registries
}

// Sockets waits for plugins to listen, as those of internal/supervise do.
type Sockets interface {
	Await(ctx context.Context, dir, name string) error
	Close() error
}

var (
	// NewManager makes a *plugin.Manager from a plugin.ManagerConfig.
	NewManager func(config any, parts Parts) (manager any, err error)
	// HoldOperation makes verbs on a plugin of a *plugin.Manager wait, as a
	// running verb does, until release. It does not wait itself: free reports
	// whether no verb was running.
	HoldOperation func(manager any, name string) (release func(), free bool)
)
