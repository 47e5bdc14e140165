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

// socketMode lets the socket's owner and group connect: whoever may is root on
// this host, by way of a plugin.
const socketMode = 0o660

// listen makes the socket, for root and its group only. One that nothing
// listens on any more, left by a plugind that was killed, is replaced; anything
// else in its place, a link too, is not ours to touch.
func (o options) listen() (net.Listener, error) {
	path, err := o.socket()
	if err != nil {
		return nil, err
	}
	gid, err := o.groupID()
	if err != nil {
		return nil, err
	}
	if err := makeWay(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	}
	listener, err := listenClosed(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.host, err)
	}
	if err := open(path, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", o.host, err), listener.Close())
	}
	return listener, nil
}

// makeWay removes a socket that nothing listens on.
func makeWay(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("there is %s, and no socket: remove it, or give another path", nounOf(found.Mode()))
	}
	connection, err := net.Dial("unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process serves it"), connection.Close())
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

// listenClosed makes a socket that nobody may connect to yet. What appears at
// path meanwhile is neither followed nor replaced.
func listenClosed(path string) (net.Listener, error) {
	before := unix.Umask(0o777) // of the process, which does nothing else yet
	defer unix.Umask(before)
	return net.Listen("unix", path)
}

// open lets the owner and a group connect, or the owner's own for -1. It
// changes the socket itself, whatever has come to be at path.
func open(path string, gid int) error {
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
		return errors.New("somebody replaced the socket")
	}
	if err := unix.Fchownat(socket, "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("give it to group %d: %w", gid, err)
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", socket), socketMode)
}

// groupID returns the group of --group, by its name or number, or -1.
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
	return 0, fmt.Errorf("--group %q: there is no such group", o.group)
}
