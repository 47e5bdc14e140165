// SPDX-License-Identifier: Apache-2.0

package socketpath

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"time"

	"github.com/dovetailhq/plugin/internal/bounded"
)

// dialPatience is how long the kernel can take to find a socket. To connect takes
// no time: a listener accepts later, or its queue is full.
const dialPatience = 5 * time.Second

// dials has at most one thread of this process hang for each directory.
var dials bounded.Lines[string]

// Dial connects to the unix socket name in the directory dir, as [Connect] does.
// It returns when ctx ends, or after some seconds. While a call for dir hangs in
// a file system, later ones wait for it. The error is a [net.OpError] of a dial.
func Dial(ctx context.Context, dir, name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	call, err := bounded.StartFor(ctx, &dials, dir, func() (net.Conn, error) { return Connect(dir, name) })
	if err != nil {
		return nil, dialError(dir, name, err)
	}
	conn, returned, err := call.Await(ctx)
	if !returned {
		go hangUp(call)
		return nil, dialError(dir, name, err)
	}
	return conn, err
}

// hangUp closes a connection that came too late.
func hangUp(call *bounded.Call[net.Conn]) {
	if conn, _, err := call.Await(context.Background()); err == nil {
		_ = conn.Close()
	}
}

// ErrLeadsOut refuses a socket that is a link to a place outside its directory.
var ErrLeadsOut = errors.New("it is a link that leads out of the directory of the plugin's sockets")

// dialError has the form of errors of a dial by a path.
func dialError(dir, name string, err error) error {
	return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"}, Err: err}
}
