// SPDX-License-Identifier: Apache-2.0

// Package memnet is an in-memory network for tests in virtual time: goroutines
// that wait for it are durably blocked (see testing/synctest). Connections have
// no buffers, so a peer that does not read blocks the writer.
package memnet

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Network is a set of listeners by address. The zero value is an empty network.
// It is safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// Listen listens on an address of the form host:port until the listener is
// closed. It replaces an earlier listener of the address.
func (n *Network) Listen(address string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &listener{address: address, connections: make(chan net.Conn), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	n.listeners[address] = l
	return l
}

// Dial connects to an address like [net.Dialer.DialContext]. It returns
// ECONNREFUSED if the address has no listener, and the cause of ctx if ctx ends
// before the listener accepts.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Addr: name(address), Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case l.connections <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type listener struct {
	address     string
	connections chan net.Conn
	once        sync.Once
	closed      chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return name(l.address) }

// name is an address of a Network.
type name string

func (name) Network() string  { return "memory" }
func (n name) String() string { return string(n) }
