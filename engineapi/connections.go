// SPDX-License-Identifier: Apache-2.0

package engineapi

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/dovetailhq/plugin/internal/logging"
)

// maxConnections bounds the connections of a server. A connection takes 8 KiB
// while it is idle and 30 KiB during a request, whatever its handler takes.
// Streams such as events and logs count.
const maxConnections = 1024

// connections bounds the connections of one server.
type connections struct {
	shutdown context.Context
	open     chan struct{} // holds a value for each open connection
	warn     sync.Once
}

func newConnections(shutdown context.Context) *connections {
	return &connections{shutdown: shutdown, open: make(chan struct{}, maxConnections)}
}

// count is the ConnState of a server. The server calls it with a new connection
// before it accepts the next one.
func (c *connections) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.enter()
	case http.StateClosed, http.StateHijacked:
		select {
		case <-c.open:
		default: // a connection from the time of a shutdown
		}
	}
}

// enter counts a new connection. It waits while the server has maxConnections,
// until a shutdown begins. The first wait is logged.
func (c *connections) enter() {
	select {
	case c.open <- struct{}{}:
		return
	default:
	}
	c.warn.Do(func() {
		logging.L().WithField("connections", maxConnections).Warn("too many connections: further clients wait until one closes")
	})
	select {
	case c.open <- struct{}{}:
	case <-c.shutdown.Done(): // the server closes the connection
	}
}
