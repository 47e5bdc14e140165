// SPDX-License-Identifier: Apache-2.0

package socketpath

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Connect connects to the unix socket name in the directory dir. The process that
// made it is not trusted: no link leads out of dir, and no file system that is
// mounted in dir is asked unless name leads there. Such a file system may never
// answer; see [Dial]. The error is a [net.OpError] of a dial.
func Connect(dir, name string) (net.Conn, error) {
	socket, err := open(dir, name)
	if err != nil {
		return nil, dialError(dir, name, err)
	}
	defer unix.Close(socket)
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d", socket))
	var failed *net.OpError
	if errors.As(err, &failed) {
		return nil, dialError(dir, name, failed.Err)
	}
	return conn, err
}

// open returns a descriptor of a socket, by openat2(2).
func open(dir, name string) (descriptor int, err error) {
	directory, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("connect", err)
	}
	defer unix.Close(directory)
	name = "." + path.Join("/", name)
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	descriptor, err = unix.Openat2(directory, name, &how)
	if errors.Is(err, unix.EXDEV) {
		// It leads into another file system: out of dir, or to a mount in dir.
		how.Resolve &^= unix.RESOLVE_NO_XDEV
		descriptor, err = unix.Openat2(directory, name, &how)
	}
	switch {
	case errors.Is(err, unix.EXDEV):
		return 0, ErrLeadsOut
	case err != nil:
		return 0, os.NewSyscallError("connect", err)
	}
	return descriptor, nil
}
