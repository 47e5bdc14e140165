// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// socketMode lets the socket's owner and group connect. Any client that can
// connect can become root on this host, through a plugin.
const socketMode = 0o660

// listen makes the socket, for root and its group only. An abandoned socket,
// left by a plugind that was killed, is replaced. Anything else at the path, a
// link included, makes listen fail.
func (o options) listen() (net.Listener, error) {
	path, err := o.socket()
	if err != nil {
		return nil, err
	}
	gid, err := o.groupID()
	if err != nil {
		return nil, err
	}
	if err := removeAbandoned(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	}
	listener, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	}
	if err := grantAccess(path, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", o.host, err), listener.Close())
	}
	return listener, nil
}

// removeAbandoned removes a socket that no process listens on.
func removeAbandoned(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("the path is %s, not a socket: remove it or choose another path", nounOf(found.Mode()))
	}
	connection, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process listens on it: stop it or choose another path"), connection.Close())
	case !errors.Is(err, unix.ECONNREFUSED):
		return err
	}
	return os.Remove(path)
}

func nounOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}

// listenPrivate makes a socket to which no client can connect yet. It fails if
// anything has appeared at path since; links are not followed.
func listenPrivate(path string) (net.Listener, error) {
	before := unix.Umask(0o777) // of the whole process, which has no other goroutine that makes files yet
	defer unix.Umask(before)
	return net.Listen("unix", path)
}

// grantAccess lets the owner and the group gid connect, or the owner's own
// group if gid is -1. It changes the socket itself and fails if path is
// anything else by now.
func grantAccess(path string, gid int) error {
	socket, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(socket)
	var is unix.Stat_t
	if err := unix.Fstat(socket, &is); err != nil {
		return err
	}
	if is.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("the socket was replaced by another file")
	}
	if err := unix.Fchownat(socket, "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("give it to group %d: %w", gid, err)
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", socket), socketMode)
}

// groupID returns the ID of --group, which is a name or a number, or -1 without
// it.
func (o options) groupID() (int, error) {
	if o.group == "" {
		return -1, nil
	}
	if group, err := user.LookupGroup(o.group); err == nil {
		return strconv.Atoi(group.Gid)
	}
	if gid, err := strconv.Atoi(o.group); err == nil && gid >= 0 {
		return gid, nil
	}
	return 0, fmt.Errorf("--group %q: no such group", o.group)
}
