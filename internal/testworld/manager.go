// SPDX-License-Identifier: Apache-2.0

// Package testworld makes managers for the tests below test/: a [World] with a fake
// executor, and managers with parts that the test provides, such as files, waits for
// sockets and network connections.
package testworld

import (
	"context"
	"net"

	"github.com/dovetailhq/plugin"
	"github.com/dovetailhq/plugin/internal/durable"
	"github.com/dovetailhq/plugin/internal/seam"
	"github.com/dovetailhq/plugin/internal/supervise"
)

// NewManagerOn makes a manager that uses the given files, which tests make fail.
func NewManagerOn(config plugin.ManagerConfig, files *durable.FS) (*plugin.Manager, error) {
	return newManager(config, seam.Parts{Files: files, Sockets: supervise.NewSockets()})
}

// Await reports that a plugin listens on the socket name in dir.
type Await func(ctx context.Context, dir, name string) error

// NewManagerAwaiting makes a manager that calls await, instead of watching the
// kernel, to learn that a plugin listens.
func NewManagerAwaiting(config plugin.ManagerConfig, await Await) (*plugin.Manager, error) {
	return NewManagerDialing(config, await, nil)
}

// NewManagerOver makes a manager with replacements of its files and its watch of
// sockets.
func NewManagerOver(config plugin.ManagerConfig, files *durable.FS, sockets seam.Sockets) (*plugin.Manager, error) {
	return newManager(config, seam.Parts{Files: files, Sockets: sockets})
}

// NewManagerDialing is [NewManagerAwaiting] with a manager that connects to
// registries by dial.
func NewManagerDialing(config plugin.ManagerConfig, await Await, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*plugin.Manager, error) {
	files := durable.Default
	return newManager(config, seam.Parts{Files: &files, Sockets: awaited(await), Dial: dial})
}

func newManager(config plugin.ManagerConfig, parts seam.Parts) (*plugin.Manager, error) {
	made, err := seam.NewManager(config, parts)
	if err != nil {
		return nil, err
	}
	return made.(*plugin.Manager), nil
}

type awaited Await

func (a awaited) Await(ctx context.Context, dir, name string) error { return a(ctx, dir, name) }

func (awaited) Close() error { return nil }

// HoldOperation makes verbs on a plugin wait, as a running verb does, until
// release. It does not wait itself: free reports whether no verb was running.
func HoldOperation(manager *plugin.Manager, name string) (release func(), free bool) {
	return seam.HoldOperation(manager, name)
}
