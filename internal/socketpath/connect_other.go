// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package socketpath

import (
	"net"
	"path/filepath"
	"strings"
)

// Connect connects to the unix socket name in the directory dir, if no link leads
// out of dir. The error is a [net.OpError] of a dial.
func Connect(dir, name string) (net.Conn, error) {
	within, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, dialError(dir, name, err)
	}
	socket, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil {
		return nil, dialError(dir, name, err)
	}
	if !strings.HasPrefix(socket, within+string(filepath.Separator)) {
		return nil, dialError(dir, name, ErrLeadsOut)
	}
	return net.Dial("unix", socket)
}
